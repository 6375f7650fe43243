#!lua flags=allow-oom
-- Clock remembers the highest clock that was seen in an epoch: a later snapshot that is behind it belongs to another history.
-- KEYS record   ARGV epoch, clock (20 digits), origin that the caller knows, the same with the signs that it lacked
--   -> 1 if the epoch is still this one
local record, epoch, clock, known, fuller = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local f = redis.call('HMGET', record, 'epoch', 'clock', 'origin')
if f[1] ~= epoch then return 0 end
if known ~= fuller and f[3] == known then redis.call('HSET', record, 'origin', fuller) end
if not f[2] or f[2] < clock then redis.call('HSET', record, 'clock', clock) end
return 1
