#!lua flags=allow-oom
-- Epoch opens a new epoch, or says which history of Postgres the one there is belongs to, if nobody has since the caller looked.
-- KEYS record   ARGV epoch and origin that the caller knows (0 and '': none), origin   -> {epoch now, 1 if it was done}
local record, known, belongs, origin = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local f = redis.call('HMGET', record, 'epoch', 'origin')
local epoch = tonumber(f[1] or 0)
if epoch ~= known or (f[2] or '') ~= belongs then return {epoch, 0} end
if epoch == 0 or belongs ~= '' then epoch = epoch + 1 end
redis.call('HSET', record, 'epoch', epoch, 'origin', origin, 'clock', string.format('%020d', 0))
return {epoch, 1}
