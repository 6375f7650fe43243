-- Put writes a batch of values that were read in one snapshot, and removes the keys that have none.
-- KEYS book, key..., untracked   ARGV nonce, stamp, deadline in ms, run field, run|refresh, string|hash|zset, then for each key: ttl in ms, value
-- A ttl of 0 removes the key. A hash is one msgpack array: field, text, field, text... A sorted set is one of arrays: {score, member}
-- -> LOST, LATE, SUPERSEDED or {lookups, of these of absent keys, keys removed, then the positions of the keys that are OLD: a newer fence or refresh owns them}
local book, untracked, nonce, stamp, deadline, run = KEYS[1], KEYS[#KEYS], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refresh, kind = ARGV[5] == 'refresh', ARGV[6]
local fields = {'#n', run}
for i = 2, #KEYS - 1 do fields[i + 1] = KEYS[i] end
local f = redis.call('HMGET', book, unpack(fields))
if f[1] ~= nonce then return 'LOST' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if now > tonumber(deadline) then return 'LATE' end
if f[2] and f[2] > stamp then return 'SUPERSEDED' end
if not refresh and f[2] ~= stamp then redis.call('HSET', book, run, stamp) end

local removed = 0
local function write(key, ttl, value)
  if ttl == '0' then
    removed = removed + redis.call('UNLINK', key)
  elseif kind == 'zset' then
    redis.call('UNLINK', key)
    local some = {} -- as many as Lua can unpack
    for _, row in ipairs(cmsgpack.unpack(value)) do
      if row[2] then some[#some + 1] = row[1] some[#some + 1] = row[2] end
      if #some >= 2000 then redis.call('ZADD', key, unpack(some)) some = {} end
    end
    if #some > 0 then redis.call('ZADD', key, unpack(some)) end
    redis.call('PEXPIRE', key, ttl)
  elseif kind == 'hash' then
    local columns = cmsgpack.unpack(value)
    redis.call('UNLINK', key)
    if #columns > 0 then redis.call('HSET', key, unpack(columns)) end
    redis.call('PEXPIRE', key, ttl)
  else
    redis.call('SET', key, value, 'PX', ttl)
  end
end

local longest = 0
local newest, old = stamp .. '9999999999999', {1, 0, 0}
local mine = stamp .. string.format('%013.0f', now)
for i = 2, #KEYS - 1 do
  local fence, ttl = f[i + 1], ARGV[2 * i + 3]
  if fence and fence > newest then
    old[#old + 1] = i - 1
    if not refresh and ttl == '0' then redis.call('SADD', untracked, KEYS[i]) end -- it has come again, and this run's manifest will not have it
  else
    if refresh and ttl ~= '0' then
      old[1] = old[1] + 1
      if redis.call('EXISTS', KEYS[i]) == 0 then
        old[2] = old[2] + 1
        redis.call('SADD', untracked, KEYS[i])
      end
    end
    write(KEYS[i], ttl, ARGV[2 * i + 4])
    if refresh then redis.call('HSET', book, KEYS[i], mine) end
    if ttl == '0' then redis.call('SREM', untracked, KEYS[i]) end
    longest = math.max(longest, tonumber(ttl))
  end
end
if refresh and longest > 0 then redis.call('PEXPIRE', untracked, 2 * longest + 3600000) end -- it outlives what it tells of
old[3] = removed
return old
