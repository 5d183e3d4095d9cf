-- Keeps a value for a time. Keys: the cache's generation, the value.
-- Arguments: now, a new generation or nothing, life in microseconds, value.
local life = tonumber(ARGV[3])
if not life then return redis.error_reply('VIP a life is no number') end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
-- All fields are written anew. Nothing is removed before: a full server refuses what begins with an addition, and lets it all go on
-- after a removal.
redis.call('HSET', KEYS[2], 'generation', redis.call('GET', KEYS[1]) or '', 'until', now + life, 'value', ARGV[4])
-- The server forgets it by itself, at the latest a millisecond after it is no longer answered.
redis.call('PEXPIRE', KEYS[2], math.ceil(life / 1000))
return 1
