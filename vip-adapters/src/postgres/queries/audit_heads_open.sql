INSERT INTO vip.audit_heads (tenant, sequence, hash)
SELECT tenant, 0, hash FROM unnest($1::text[], $2::text[]) AS fresh(tenant, hash)
ON CONFLICT DO NOTHING
