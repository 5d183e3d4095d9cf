UPDATE vip.operations
SET status = $3, code = $4, updated_at = $5
WHERE id = $1
  AND tenant = $2 -- guard: tenant
  AND status NOT IN ('succeeded', 'failed', 'superseded') -- guard: open
