-- Keep puts the manifest of a complete run in the place of the last one, unless another run has claimed the job since.
-- KEYS book, head of the manifest   ARGV nonce, writer field, id of the run, head, ttl in ms   -> LOST, SUPERSEDED or OK
local f = redis.call('HMGET', KEYS[1], '#n', ARGV[2])
if f[1] ~= ARGV[1] then return 'LOST' end
if f[2] ~= ARGV[3] then return 'SUPERSEDED' end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
return 'OK'
