INSERT INTO vip_audit_deliveries (sink, tenant, sequence, delivered_at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence), delivered_at = excluded.delivered_at
