-- Says whose queue it is; whoever asks first is the owner. Arguments: now, the installation.
local kept = redis.call('GET', base .. ':owner')
if kept then return kept end
redis.call('SET', base .. ':owner', ARGV[2])
return ARGV[2]
