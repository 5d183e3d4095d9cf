-- A turn is later than all before it of this sink, whatever the clock says: of one that was ahead and was set right, the times of
-- before would keep their tenants behind one whose records are refused.
INSERT INTO vip_audit_deliveries (sink, tenant, sequence, delivered_at)
VALUES (
    ?1, ?2, ?3, max(?4, 1 + coalesce((SELECT max(delivered_at) FROM vip_audit_deliveries WHERE sink = ?1), 0))
)
ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence), delivered_at = excluded.delivered_at
