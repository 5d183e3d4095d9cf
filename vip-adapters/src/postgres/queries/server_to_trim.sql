-- Only once its keys and operations are gone: these are looked for among untrimmed records alone.
-- By ANY as in `job_done.sql`.
SELECT body::text AS body, stamp, version, holder, holder_epoch
FROM vip.servers
WHERE NOT trimmed
  AND state IN ('failed', 'deleted')
  AND gone_at IS NOT NULL
  AND gone_at <= $1 -- guard: retention
  AND NOT EXISTS (SELECT 1 FROM vip.keys WHERE vip.keys.server = ANY (ARRAY[vip.servers.id]))
  AND NOT EXISTS (SELECT 1 FROM vip.operations WHERE vip.operations.server = ANY (ARRAY[vip.servers.id]))
ORDER BY gone_at
LIMIT $2
