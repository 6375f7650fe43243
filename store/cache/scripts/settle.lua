-- Settle takes keys that the manifest of a run has off the untracked, unless another run has claimed the job since: its manifest may lack them.
-- KEYS book, untracked   ARGV writer field, id of the run, key...   -> how many there were
local writer = redis.call('HGET', KEYS[1], ARGV[1])
if writer and writer ~= ARGV[2] then return 0 end
return redis.call('SREM', KEYS[2], unpack(ARGV, 3))
