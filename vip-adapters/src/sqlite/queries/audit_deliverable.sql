-- The tenant whose turn was longest ago goes first: a busy one cannot starve the others.
WITH next AS MATERIALIZED (
    SELECT tenant, position
    FROM (
        SELECT heads.tenant, coalesce(done.sequence, 0) AS position
        FROM vip_audit_heads AS heads
        LEFT JOIN vip_audit_deliveries AS done ON done.sink = ?1 AND done.tenant = heads.tenant
        WHERE heads.sequence > coalesce(done.sequence, 0)
        ORDER BY coalesce(done.delivered_at, 0), heads.tenant
        -- Keeps the order, and the condition below out of here: it would be asked of every tenant before they are ordered.
        LIMIT -1
    ) AS waiting
    -- Records that are gone are found by a verification; here they keep nothing of another tenant back.
    WHERE (SELECT max(sequence) FROM vip_audit WHERE tenant = waiting.tenant) > waiting.position
    LIMIT 1
)
-- No join: of that all records which the sink does not have would be read and sorted, however few are wanted.
SELECT tenant, sequence, hash, body
FROM vip_audit
WHERE tenant = (SELECT tenant FROM next)
  AND sequence > (SELECT position FROM next)
ORDER BY sequence
LIMIT ?2
