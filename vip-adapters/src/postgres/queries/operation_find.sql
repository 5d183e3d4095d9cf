SELECT id, tenant, server, verb, status, code, request_id, created_at, updated_at
FROM vip.operations
WHERE id = $1
  AND tenant = $2 -- guard: tenant
