INSERT INTO vip.audit_deliveries AS known (sink, tenant, sequence, delivered_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (sink, tenant) DO UPDATE
SET sequence = greatest(known.sequence, excluded.sequence), delivered_at = excluded.delivered_at
