#!lua flags=allow-oom
-- Format raises the number of the format of all that a namespace keeps here, where there is a record to hold it.
-- KEYS record   ARGV the caller's format   -> the format now; '' without a record
local record, mine = KEYS[1], tonumber(ARGV[1])
if redis.call('EXISTS', record) == 0 then return '' end
local there = redis.call('HGET', record, 'format')
-- what is no number was written by who knows more
if there and (tonumber(there) or mine) >= mine then return there end
redis.call('HSET', record, 'format', mine)
return tostring(mine)
