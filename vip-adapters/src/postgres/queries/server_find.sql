-- The record as it is now, for the answer of a replayed commit.
SELECT body::text AS body, stamp, version, holder, holder_epoch
FROM vip.servers
WHERE id = $1
  AND tenant = $2 -- guard: tenant
