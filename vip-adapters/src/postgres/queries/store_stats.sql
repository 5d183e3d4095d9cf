-- Counts stop at $1: what is unsealed, parked or seen and not ours is little, unless something is wrong, and then more than that
-- says no more.
WITH RECURSIVE used(account) AS (
    -- From account to account by the index: there are few accounts and many servers.
    SELECT min(account) FROM vip.servers WHERE state NOT IN ('failed', 'deleted')
    UNION ALL
    SELECT (SELECT min(account) FROM vip.servers WHERE state NOT IN ('failed', 'deleted') AND account > used.account)
    FROM used WHERE used.account IS NOT NULL
)
SELECT
    (SELECT count(*) FROM (SELECT FROM vip.audit WHERE sequence IS NULL LIMIT $1) AS counted) AS unsealed,
    (SELECT count(*) FROM (SELECT FROM vip.servers WHERE state = 'parked' LIMIT $1) AS counted) AS parked,
    (SELECT min(wake_at) FROM vip.servers WHERE wake_at IS NOT NULL) AS next_wake,
    (
        SELECT coalesce(json_object_agg(class, number), '{}')::text
        FROM (
            SELECT class, count(*) AS number FROM (SELECT class FROM vip.sightings LIMIT $1) AS counted GROUP BY class
        ) AS classes
    ) AS sightings,
    (SELECT coalesce(json_agg(account), '[]')::text FROM used WHERE account IS NOT NULL) AS accounts
