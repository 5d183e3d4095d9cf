SELECT id, body::text AS body, stamp, version, holder, holder_epoch
FROM vip.servers
WHERE tenant = $1
  AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3
