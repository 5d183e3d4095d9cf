-- Only once its keys and operations are gone: operations are looked for among untrimmed records alone.
-- By ANY as in `job_done.sql`.
SELECT id, body::text AS body, stamp, version, holder, holder_epoch
FROM vip.servers
WHERE NOT trimmed
  AND NOT keyed
  AND state IN ('failed', 'deleted')
  AND gone_at IS NOT NULL
  AND gone_at <= $1 -- guard: retention
  -- Those that this round has found before, of which some cannot be read. By a SELECT, which is hashed: an array would be walked
  -- through for each row.
  AND id NOT IN (SELECT unnest($3::uuid[]))
  AND NOT EXISTS (SELECT 1 FROM vip.operations WHERE vip.operations.server = ANY (ARRAY[vip.servers.id]))
ORDER BY gone_at
LIMIT $2
