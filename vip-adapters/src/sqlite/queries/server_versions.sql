-- One statement, so that versions and records are of one snapshot; a version without a record stays visible (LEFT).
SELECT page.id, page.version AS present, vip_audit.version AS recorded, count(vip_audit.position) AS records
FROM (
    -- So many servers as have ?3 versions together: how long this takes goes by the records. Of one alone no more is counted than
    -- fits, so that the first one always does, and a damaged version overflows nothing.
    SELECT id, version, sum(min(version, ?3)) OVER (ORDER BY id) AS total
    -- Cut before they are added up, or those of all servers would be.
    FROM (
        SELECT id, version
        FROM vip_servers
        WHERE tenant = ?1
          AND id > ?2
        ORDER BY id
        LIMIT ?3
    )
) AS page
LEFT JOIN vip_audit ON vip_audit.server = page.id
WHERE page.total <= ?3
GROUP BY page.id, vip_audit.version
