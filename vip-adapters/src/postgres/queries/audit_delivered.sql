-- A turn is later than all before it of this sink, whatever the clock says: of one that was ahead and was set right, the times of
-- before would keep their tenants behind one whose records are refused.
INSERT INTO vip.audit_deliveries AS known (sink, tenant, sequence, delivered_at)
VALUES ($1, $2, $3, greatest($4, 1 + (SELECT max(delivered_at) FROM vip.audit_deliveries WHERE sink = $1)))
ON CONFLICT (sink, tenant) DO UPDATE
SET sequence = greatest(known.sequence, excluded.sequence), delivered_at = excluded.delivered_at
