-- Keeps a value for a time. Keys: the cache's generation, the value.
-- Arguments: now, whether the generation is over, life in microseconds, value, a name that no generation had.
local life = tonumber(ARGV[3])
if not life then return redis.error_reply('VIP a life is no number') end
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
-- Nothing is removed before something is added: a full server refuses what begins with an addition, and lets all go
-- on after a removal.
local generation = ARGV[2] == '' and redis.call('GET', KEYS[1])
if not generation then
  generation = ARGV[5]
  -- Without an expiry: what a server evicts by it are values, one at a time, and not the generation of them all.
  redis.call('SET', KEYS[1], generation)
end
redis.call('HSET', KEYS[2], 'generation', generation, 'until', now + life, 'value', ARGV[4])
-- The server forgets it by itself, at the latest a millisecond after it is no longer answered.
redis.call('PEXPIRE', KEYS[2], math.ceil(life / 1000))
return 1
