SELECT id, tenant, wake_at
FROM vip_servers
-- Named although `<` implies it: the partial index is used only if its condition stands here.
WHERE wake_at IS NOT NULL
  AND wake_at < ?1
  AND state NOT IN ('failed', 'deleted')
ORDER BY wake_at, id
LIMIT ?2
