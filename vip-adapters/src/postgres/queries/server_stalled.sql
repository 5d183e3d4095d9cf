SELECT id, tenant, wake_at
FROM vip.servers
WHERE wake_at < coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) - $2
  AND state NOT IN ('failed', 'deleted')
ORDER BY wake_at, id
LIMIT $3
