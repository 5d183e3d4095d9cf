-- Those without a key are not looked at again, until another key comes.
UPDATE vip_servers
SET keyed = 0
WHERE id IN (SELECT value FROM json_each(?1))
  AND NOT EXISTS (SELECT 1 FROM vip_keys WHERE vip_keys.server = vip_servers.id)
