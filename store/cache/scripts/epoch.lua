#!lua flags=allow-oom
-- Epoch opens a new epoch, or says which history of Postgres the one there is belongs to, if nobody has since the caller looked.
-- KEYS record   ARGV epoch and origin that the caller knows (0 and '': none), origin, server, 1 if changes were missed in one history,
--   the highest epoch that the caller has ever seen, masters of the cluster
-- -> {epoch now, 1 if it was done}
-- An epoch is never lower than the hours since 2020, nor than what the caller has seen: one that follows the loss of the
-- record is not taken for an older one.
local record, known, belongs, origin, server, gap, seen = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])
local f = redis.call('HMGET', record, 'epoch', 'origin', 'history')
local epoch, history = tonumber(f[1] or 0), tonumber(f[3] or 0)
if epoch ~= known or (f[2] or '') ~= belongs then return {epoch, 0} end
if epoch == 0 or belongs ~= '' or origin == '' then
  local hours = math.floor((redis.call('TIME')[1] - 1577836800) / 3600)
  epoch = math.max(epoch + 1, hours, seen + 1)
  if not gap then history = epoch end
end
redis.call('HSET', record, 'epoch', epoch, 'origin', origin, 'server', server, 'clock', string.format('%020d', 0), 'history', history, 'masters', ARGV[7])
return {epoch, 1}
