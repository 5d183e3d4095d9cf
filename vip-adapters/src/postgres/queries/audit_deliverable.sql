-- The tenant whose turn was longest ago goes first: a busy one cannot starve the others.
WITH next AS (
    SELECT waiting.tenant, waiting.position
    FROM (
        SELECT heads.tenant, coalesce(done.sequence, 0) AS position, coalesce(done.delivered_at, 0) AS turn
        FROM vip.audit_heads AS heads
        LEFT JOIN vip.audit_deliveries AS done ON done.sink = $1 AND done.tenant = heads.tenant
        WHERE heads.sequence > coalesce(done.sequence, 0)
        ORDER BY turn, heads.tenant
        -- Keeps the condition below out of here: it would be asked of every tenant before they are ordered.
        OFFSET 0
    ) AS waiting
    -- Records that are gone are found by a verification; here they keep nothing of another tenant back.
    WHERE (SELECT max(sequence) FROM vip.audit WHERE tenant = waiting.tenant) > waiting.position
    ORDER BY waiting.turn, waiting.tenant
    LIMIT 1
)
SELECT next.tenant, record.sequence, record.hash, record.body
FROM next
-- With its own limit, which a join does not have: however far a sink is behind, a call reads what it answers. One that took too long
-- would be made again for the same tenant, and none behind that one would ever have its turn.
CROSS JOIN LATERAL (
    SELECT sequence, hash, body
    FROM vip.audit
    WHERE tenant = next.tenant
      AND sequence > next.position
    ORDER BY sequence
    LIMIT $2
) AS record
ORDER BY record.sequence
