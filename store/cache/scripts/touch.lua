-- Touch sees to values that Redis should have already, as the last complete run wrote them: it extends their TTL.
-- KEYS book, key...   ARGV nonce, stamp, deadline in ms, run field, time when the last run armed, then for each key: ttl in ms
-- A ttl of 0 only looks whether the key is there.
-- -> LOST, LATE, SUPERSEDED or {lookups, of these of absent keys, then the positions of the keys whose value must be sent:
-- they are gone, or a fence or a refresh has been there}
local book, nonce, stamp, deadline, run, since = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fields = {'#n', run, '#p'}
for i = 2, #KEYS do fields[i + 2] = KEYS[i] end
local f = redis.call('HMGET', book, unpack(fields))
if f[1] ~= nonce then return 'LOST' end
local t = redis.call('TIME')
if t[1] * 1000 + math.floor(t[2] / 1000) > tonumber(deadline) then return 'LATE' end
if f[2] and f[2] > stamp then return 'SUPERSEDED' end
if f[2] ~= stamp then redis.call('HSET', book, run, stamp) end

local send = {1, 0}
local function there(key, ttl)
  if ttl ~= '0' then return redis.call('PEXPIRE', key, ttl) == 1 end
  local is = redis.call('EXISTS', key) == 1
  send[1] = send[1] + 1
  if not is then send[2] = send[2] + 1 end
  return is
end

local forgotten = (f[3] or '') >= since -- a field was pruned that was written since: nobody knows whose
for i = 2, #KEYS do
  if forgotten or f[i + 2] or not there(KEYS[i], ARGV[i + 4]) then send[#send + 1] = i - 1 end
end
return send
