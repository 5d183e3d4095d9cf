-- Reads a value. Keys: the cache's generation, the value. Arguments: now, a new generation or nothing.
-- Whoever was out of contact begins a new generation first: what is older may have been invalidated meanwhile.
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local found = redis.call('HMGET', KEYS[2], 'generation', 'until', 'value')
if not found[3] then return false end
local good = true
good = good and found[1] == (redis.call('GET', KEYS[1]) or '') -- guard: generation
good = good and tonumber(found[2]) > now -- guard: until
return good and found[3] or false
