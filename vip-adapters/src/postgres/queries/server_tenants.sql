-- From tenant to tenant by the index: there are few tenants and many servers.
WITH RECURSIVE known(tenant, place) AS (
    (SELECT tenant, 1 FROM vip.servers WHERE tenant > $1 ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant FROM vip.servers WHERE tenant > known.tenant ORDER BY tenant LIMIT 1), known.place + 1
    FROM known
    WHERE known.tenant IS NOT NULL AND known.place < $2
)
SELECT tenant FROM known WHERE tenant IS NOT NULL ORDER BY tenant LIMIT $2
