SELECT id, tenant, server, verb, status, code, request_id, created_at, updated_at
FROM vip.operations
WHERE tenant = $1
  AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3
