-- Counts stop at $1: what is unsealed, parked or seen and not ours is little, unless something is wrong, and then more than that
-- says no more.
SELECT
    (SELECT count(*) FROM (SELECT FROM vip.audit WHERE sequence IS NULL LIMIT $1) AS counted) AS unsealed,
    (SELECT count(*) FROM (SELECT FROM vip.servers WHERE state = 'parked' LIMIT $1) AS counted) AS parked,
    (SELECT min(wake_at) FROM vip.servers WHERE wake_at IS NOT NULL) AS next_wake,
    (
        SELECT coalesce(json_object_agg(class, number), '{}')::text
        FROM (
            SELECT class, count(*) AS number FROM (SELECT class FROM vip.sightings LIMIT $1) AS counted GROUP BY class
        ) AS classes
    ) AS sightings
