SELECT id, body::text AS body, stamp, version, holder, holder_epoch
FROM vip.servers
WHERE tenant = $1
  -- Behind $2, if there is one; said so that the index begins there.
  AND id >= coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
  AND id IS DISTINCT FROM $2
ORDER BY id
LIMIT $3
