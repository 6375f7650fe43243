#!lua flags=allow-oom
-- Fence comes after a change, with the stamp of a snapshot that shows it: no value read before is written from here on.
-- What is there stays readable for a short grace, or is removed. A full Redis must not keep a stale value: hence allow-oom.
-- KEYS book, key...   ARGV nonce, stamp, grace in ms (0: remove what is older; -1: remove whatever is there)
-- -> LOST, or {lookups, of these of absent keys, then the positions of the keys that were removed}
-- Without a book nothing is armed: there is nothing to remember. In another book the stamp may be worth nothing.
local book, nonce, stamp, grace = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local open = redis.call('HGET', book, '#n')
if open and open ~= nonce then return 'LOST' end
local t = redis.call('TIME')
local mark = stamp .. string.format('%013.0f', t[1] * 1000 + math.floor(t[2] / 1000))

local removed = open and {2, 0} or {1, 1}
local function expire(at, key)
  if grace <= 0 then
    if redis.call('UNLINK', key) == 1 then removed[#removed + 1] = at end
    return
  end
  local left = redis.call('PTTL', key)
  removed[1] = removed[1] + 1
  if left == -2 then removed[2] = removed[2] + 1 end
  if left == -1 or left > grace then redis.call('PEXPIRE', key, grace) end -- never longer: a fence again does not prolong the grace
end

local fields = open and redis.call('HMGET', book, unpack(KEYS, 2))
local marks = {}
for i = 2, #KEYS do
  local key = KEYS[i]
  local field = open and fields[i - 1]
  local newer = field and string.sub(field, 1, 26) >= stamp -- a value there is as new as this fence
  if not newer or grace < 0 then expire(i - 1, key) end
  if open and not newer then marks[#marks + 1] = key marks[#marks + 1] = mark end
end
if #marks > 0 then redis.call('HSET', book, unpack(marks)) end -- last: where Redis knows no allow-oom, a script that has written may go on
return removed
