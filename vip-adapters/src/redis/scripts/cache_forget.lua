-- Forgets a value. Keys: the cache's generation, the value. Arguments: now, a new generation or nothing.
-- The value first: a full server refuses what begins with an addition, and lets go on what begins with a removal.
local found = redis.call('DEL', KEYS[2])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
return found
