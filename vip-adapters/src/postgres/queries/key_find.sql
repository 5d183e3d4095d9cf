SELECT key, fingerprint, operation, server
FROM vip.keys
WHERE key = $2
  AND tenant = $1 -- guard: tenant
