SELECT body, stamp, version, holder, holder_epoch
FROM vip_servers
WHERE trimmed = 0
  AND state IN ('failed', 'deleted')
  AND gone_at IS NOT NULL
  AND gone_at <= ?1 -- guard: retention
ORDER BY gone_at
LIMIT ?2
