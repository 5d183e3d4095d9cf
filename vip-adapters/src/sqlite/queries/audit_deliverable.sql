-- The tenant whose turn was longest ago goes first: a busy one cannot starve the others.
WITH next AS (
    SELECT heads.tenant, coalesce(done.sequence, 0) AS position
    FROM vip_audit_heads AS heads
    LEFT JOIN vip_audit_deliveries AS done ON done.sink = ?1 AND done.tenant = heads.tenant
    WHERE heads.sequence > coalesce(done.sequence, 0)
        -- Records that are gone are found by a verification; here they keep nothing of another tenant back.
        AND (SELECT max(sequence) FROM vip_audit WHERE tenant = heads.tenant) > coalesce(done.sequence, 0)
    ORDER BY coalesce(done.delivered_at, 0), heads.tenant
    LIMIT 1
)
SELECT vip_audit.tenant, vip_audit.sequence, vip_audit.hash, vip_audit.body
FROM next
JOIN vip_audit ON vip_audit.tenant = next.tenant AND vip_audit.sequence > next.position
ORDER BY vip_audit.sequence
LIMIT ?2
