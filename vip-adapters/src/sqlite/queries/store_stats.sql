-- Without the hint the unsealed ones are counted by a walk through all audit records.
WITH RECURSIVE used(account) AS (
    -- From account to account by the index: there are few accounts and many servers.
    SELECT min(account) FROM vip_servers WHERE state NOT IN ('failed', 'deleted')
    UNION ALL
    SELECT (SELECT min(account) FROM vip_servers WHERE state NOT IN ('failed', 'deleted') AND account > used.account)
    FROM used WHERE used.account IS NOT NULL
),
-- What `Server::next_account` says. Whole records are read for it, so of a thousand alone: each that waits comes to the front of them
-- when its time comes. Nothing here fails on a damaged record.
next(account) AS (
    SELECT coalesce(
        CASE body ->> '$.removing.gone' WHEN 0 THEN body ->> '$.removing.account' END,
        CASE body ->> '$.provider_ref.gone' WHEN 0 THEN body ->> '$.provider_ref.account' END,
        (
            SELECT min(landing.key)
            FROM json_each(CASE json_type(moving.body, '$.land') WHEN 'object' THEN moving.body -> '$.land' END) AS landing
        ),
        CASE desired
            WHEN 'present' THEN body ->> ('$.candidates[' || max(0, CAST(body ->> '$.cursor' AS INTEGER)) || '].account')
        END
    )
    FROM (
        SELECT desired, body
        FROM vip_servers
        WHERE wake_at IS NOT NULL AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at
        LIMIT 1000
    ) AS moving
    WHERE json_valid(body)
),
-- Deletions that are pending, and servers that are removed though nobody asked: those of orders that failed, second ones. By the
-- index of what moves, in which all of them stand (`vip_servers_to_wake`), and by that of a server's operations. A body is read for a
-- server that is being removed alone.
removal(since) AS (
    SELECT coalesce(
        (SELECT min(updated_at) FROM vip_operations WHERE server = moving.id AND verb = 'delete' AND status = 'pending'),
        (
            -- Parked meanwhile, it began anew when it went on.
            SELECT CASE json_type(CASE WHEN json_valid(body) THEN body END, '$.removing.since')
                WHEN 'integer' THEN max(
                    CAST(body ->> '$.removing.since' AS INTEGER),
                    coalesce((SELECT max(updated_at) FROM vip_operations WHERE server = moving.id), 0)
                )
            END
            FROM vip_servers
            WHERE id = moving.id AND moving.removing_id IS NOT NULL
        )
    )
    FROM (
        SELECT id, state, desired, removing_id
        FROM vip_servers
        WHERE wake_at IS NOT NULL AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at
        LIMIT 10000
    ) AS moving
    WHERE state <> 'parked' AND (desired = 'absent' OR removing_id IS NOT NULL)
)
SELECT
    (SELECT count(*) FROM vip_audit INDEXED BY vip_audit_to_seal WHERE sequence IS NULL) AS unsealed,
    (SELECT count(*) FROM vip_servers WHERE state = 'parked') AS parked,
    (SELECT min(wake_at) FROM vip_servers WHERE wake_at IS NOT NULL) AS next_wake,
    (SELECT min(since) FROM removal) AS oldest_removal,
    (
        SELECT json_group_object(class, number)
        FROM (SELECT class, count(*) AS number FROM vip_sightings GROUP BY class)
    ) AS sightings,
    (
        SELECT json_group_array(account)
        FROM (SELECT account FROM used UNION SELECT account FROM next)
        WHERE account IS NOT NULL
    ) AS accounts
