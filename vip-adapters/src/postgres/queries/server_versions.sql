-- One statement, so that versions and records are of one snapshot; a version without a record stays visible (LEFT).
SELECT page.id, page.version AS present, audit.version AS recorded, audit.records
FROM (
    -- So many servers as have $3 versions together: how long this takes goes by the records. Of one alone no more is counted than
    -- fits, so that the first one always does, and a damaged version overflows nothing.
    SELECT id, version, sum(least(version, $3)) OVER (ORDER BY id) AS total
    -- Cut before they are added up, or those of all servers would be.
    FROM (
        SELECT id, version
        FROM vip.servers
        WHERE tenant = $1
          AND id > $2
        ORDER BY id
        LIMIT $3
    ) AS listed
) AS page
-- For each server by itself: a join as a whole may be planned over the records of all tenants.
LEFT JOIN LATERAL (
    SELECT version, count(*) AS records
    FROM vip.audit
    WHERE server = page.id
    GROUP BY version
) AS audit ON true
WHERE page.total <= $3
