#!lua flags=allow-oom
-- Arm comes before a snapshot. It reads the nonce of the book, or opens a new book, and tells the time.
-- KEYS book   ARGV fresh nonce, life in ms   -> {nonce, now in ms}
-- The book remembers the longest life it was armed with: no field is pruned before that.
local book, fresh, life = KEYS[1], ARGV[1], ARGV[2]
local nonce = redis.call('HGET', book, '#n')
if not nonce then
  nonce = fresh
  redis.call('HSET', book, '#n', nonce)
end
if tonumber(redis.call('HGET', book, '#t') or 0) < tonumber(life) then
  redis.call('HSET', book, '#t', life)
end
local t = redis.call('TIME')
return {nonce, string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))}
