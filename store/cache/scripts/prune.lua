-- Prune removes the fields of keys that no armed write can still be older than: it is past the deadline of every such arm.
-- KEYS book   ARGV cursor, life in ms, count   -> {next cursor, fields removed, 1 if there is a book}
local book, cursor, life, count = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local t = redis.call('TIME')
local head = redis.call('HMGET', book, '#t', '#p')
local limit = t[1] * 1000 + math.floor(t[2] / 1000) - math.max(life, tonumber(head[1] or 0))
local newest, removed = head[2] or '', 0
local page = redis.call('HSCAN', book, cursor, 'COUNT', count)
for i = 1, #page[2], 2 do
  local field, at = page[2][i], string.sub(page[2][i + 1], 27)
  if string.sub(field, 1, 1) ~= '#' and tonumber(at) < limit then
    redis.call('HDEL', book, field)
    if at > newest then newest = at end
    removed = removed + 1
  end
end
if removed > 0 then redis.call('HSET', book, '#p', newest) end -- digests older than this are void
return {page[1], removed, head[1] and 1 or 0}
