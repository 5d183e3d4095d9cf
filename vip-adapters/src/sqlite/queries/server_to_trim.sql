-- Only once its keys and operations are gone: these are looked for among untrimmed records alone.
SELECT body, stamp, version, holder, holder_epoch
FROM vip_servers
WHERE trimmed = 0
  AND state IN ('failed', 'deleted')
  AND gone_at IS NOT NULL
  AND gone_at <= ?1 -- guard: retention
  AND NOT EXISTS (SELECT 1 FROM vip_keys WHERE vip_keys.server = vip_servers.id)
  AND NOT EXISTS (SELECT 1 FROM vip_operations WHERE vip_operations.server = vip_servers.id)
ORDER BY gone_at
LIMIT ?2
