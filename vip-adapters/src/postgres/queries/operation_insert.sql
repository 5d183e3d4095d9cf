-- An id that exists makes no row, which the row count tells.
INSERT INTO vip.operations (id, tenant, server, verb, status, code, request_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
ON CONFLICT DO NOTHING
