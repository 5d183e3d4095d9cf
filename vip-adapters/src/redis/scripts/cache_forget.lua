-- Forgets a value. Keys: the cache's generation, the value. Arguments: now, a new generation or nothing.
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
return redis.call('DEL', KEYS[2])
