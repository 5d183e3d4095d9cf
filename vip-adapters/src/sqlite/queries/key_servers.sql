-- Ended records that may have keys: each of them loses some, or is not looked at again. So their order does not matter.
SELECT id
FROM vip_servers
WHERE keyed = 1
  AND gone_at IS NOT NULL
  AND state IN ('failed', 'deleted')
  AND gone_at <= ?1 -- guard: retention
LIMIT ?2
