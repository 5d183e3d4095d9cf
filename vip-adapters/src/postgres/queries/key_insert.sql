-- The unique key lets one of two commits through; the other sees no row.
INSERT INTO vip.keys (tenant, key, fingerprint, operation, server)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
