-- Forgets a value. Keys: the cache's generation, the value. Arguments: now, whether the generation is over.
local found = redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('DEL', KEYS[1]) end
return found
