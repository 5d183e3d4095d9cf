SELECT id, tenant, server, verb, status, code, request_id, created_at, updated_at
FROM vip_operations
WHERE tenant = ?1
  AND id > ?2
ORDER BY id
LIMIT ?3
