-- Shows the job under a key. Arguments: now, key.
local id = redis.call('HGET', KEYS_TO_IDS, ARGV[2])
return id and show(id) or false
