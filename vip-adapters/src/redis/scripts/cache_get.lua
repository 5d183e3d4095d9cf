-- Reads a value. Keys: the cache's generation, the value. Arguments: now, whether the generation is over.
-- Whoever was out of contact ends the generation first: what is older may have been invalidated meanwhile. By removing
-- it, because a full server would refuse another one. Until the next put there is none then, as where a server threw it
-- away, and nothing is believed.
if ARGV[2] ~= '' then redis.call('DEL', KEYS[1]) end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local found = redis.call('HMGET', KEYS[2], 'generation', 'until', 'value')
if not found[3] then return false end
local good = true
good = good and found[1] == redis.call('GET', KEYS[1]) -- guard: generation
good = good and tonumber(found[2]) > now -- guard: until
return good and found[3] or false
