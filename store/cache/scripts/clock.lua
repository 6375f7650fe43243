-- Clock remembers the highest clock that was seen in an epoch: a later snapshot that is behind it belongs to another history.
-- KEYS record   ARGV epoch, clock (20 digits)   -> 1 if it was the highest
local record, epoch, clock = KEYS[1], ARGV[1], ARGV[2]
local f = redis.call('HMGET', record, 'epoch', 'clock')
if f[1] ~= epoch or (f[2] and f[2] >= clock) then return 0 end
redis.call('HSET', record, 'clock', clock)
return 1
