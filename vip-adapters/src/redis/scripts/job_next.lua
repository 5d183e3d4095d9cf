-- Says in how many microseconds the next job of these kinds becomes due that was not due at a time: zero if it has
-- become due since, nothing if there is none. Arguments: now, that time, kinds.
local seen = tonumber(ARGV[2])
local first = nil
for at = 3, #ARGV do
  local found = redis.call('ZRANGEBYSCORE', due_key(ARGV[at]), '(' .. string.format('%.0f', seen), '+inf',
    'WITHSCORES', 'LIMIT', 0, 1)
  if found[2] then first = math.min(first or tonumber(found[2]), tonumber(found[2])) end
end
if not first then return -1 end
return math.max(0, first - now)
