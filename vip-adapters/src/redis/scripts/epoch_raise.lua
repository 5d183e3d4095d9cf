-- Lets the epochs of later claims be higher than a number, if they are not: a claim takes one above the last. Says whether it had
-- to. Arguments: now, the number.
local above = tonumber(ARGV[2])
if not above then return redis.error_reply('VIP an epoch is none') end
if above <= tonumber(redis.call('GET', EPOCH) or '0') then return 0 end
-- As it was told: a number of Lua's could be written in another form.
redis.call('SET', EPOCH, ARGV[2])
return 1
