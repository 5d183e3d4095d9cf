-- The tenant whose turn was longest ago goes first: a busy one cannot starve the others.
WITH next AS (
    SELECT heads.tenant, coalesce(done.sequence, 0) AS position
    FROM vip.audit_heads AS heads
    LEFT JOIN vip.audit_deliveries AS done ON done.sink = $1 AND done.tenant = heads.tenant
    WHERE heads.sequence > coalesce(done.sequence, 0)
        -- Records that are gone are found by a verification; here they keep nothing of another tenant back.
        AND (SELECT max(sequence) FROM vip.audit WHERE tenant = heads.tenant) > coalesce(done.sequence, 0)
    ORDER BY coalesce(done.delivered_at, 0), heads.tenant
    LIMIT 1
)
SELECT vip.audit.tenant, vip.audit.sequence, vip.audit.hash, vip.audit.body
FROM next
JOIN vip.audit ON vip.audit.tenant = next.tenant AND vip.audit.sequence > next.position
ORDER BY vip.audit.sequence
LIMIT $2
