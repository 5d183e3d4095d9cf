SELECT id, body, stamp, version, holder, holder_epoch
FROM vip_servers
WHERE tenant = ?1
  AND id > ?2
ORDER BY id
LIMIT ?3
