INSERT INTO vip_audit_heads (tenant, sequence, hash) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING
