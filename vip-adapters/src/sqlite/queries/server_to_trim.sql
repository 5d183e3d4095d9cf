-- Only once its keys and operations are gone: operations are looked for among untrimmed records alone.
SELECT id, body, stamp, version, holder, holder_epoch
FROM vip_servers
WHERE trimmed = 0
  AND keyed = 0
  AND state IN ('failed', 'deleted')
  AND gone_at IS NOT NULL
  AND gone_at <= ?1 -- guard: retention
  AND NOT EXISTS (SELECT 1 FROM vip_operations WHERE vip_operations.server = vip_servers.id)
-- By `rowid` as the index has them, so that those that are passed over (`?3`) are the same in each step.
ORDER BY gone_at, rowid
LIMIT ?2 OFFSET ?3
