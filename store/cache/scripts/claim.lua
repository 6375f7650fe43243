#!lua flags=allow-oom
-- Claim comes after the snapshot of a run and before its first put: from here on no older run or refresh of the job writes.
-- The writer field says which run it was that may have written last: two runs can have one stamp. A run that only
-- looks after what the last one wrote has no id.
-- KEYS book   ARGV nonce, stamp, deadline in ms, run field, writer field, id of the run
-- -> LOST, LATE, SUPERSEDED or {id of the run before, time of the newest field ever pruned, fields that are no key's, now in ms}
local book, nonce, stamp, deadline, run, writer, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local f = redis.call('HMGET', book, '#n', run, '#p', writer)
if f[1] ~= nonce then return 'LOST' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if now > tonumber(deadline) then return 'LATE' end
if f[2] and f[2] > stamp then return 'SUPERSEDED' end
redis.call('HSET', book, run, stamp)
if id ~= '' then redis.call('HSET', book, writer, id) end
local meta = 0
if redis.call('HLEN', book) <= 1000 then
  for _, field in ipairs(redis.call('HKEYS', book)) do
    if string.sub(field, 1, 1) == '#' then meta = meta + 1 end
  end
end
return {f[4] or '', f[3] or '', tostring(meta), string.format('%.0f', now)}
