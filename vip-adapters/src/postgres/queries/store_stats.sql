-- Counts stop at $1: what is unsealed, parked or seen and not ours is little, unless something is wrong, and then more than that
-- says no more.
WITH RECURSIVE used(account) AS (
    -- From account to account by the index: there are few accounts and many servers.
    SELECT min(account) FROM vip.servers WHERE state NOT IN ('failed', 'deleted')
    UNION ALL
    SELECT (SELECT min(account) FROM vip.servers WHERE state NOT IN ('failed', 'deleted') AND account > used.account)
    FROM used WHERE used.account IS NOT NULL
),
-- What `Server::next_account` says. Whole records are read for it, each once, and so of a thousand alone: one that waits comes to the
-- front of them when its time comes. Nothing here fails on a damaged record, nor on one that holds what is no text to this server, an escape
-- such as \u0000: that is left out.
next(account) AS MATERIALIZED (
    SELECT coalesce(
        CASE removing ->> 'gone' WHEN 'false' THEN removing ->> 'account' END,
        CASE provider_ref ->> 'gone' WHEN 'false' THEN provider_ref ->> 'account' END,
        (
            SELECT min(landing.account COLLATE "C")
            FROM json_object_keys(CASE json_typeof(land) WHEN 'object' THEN land END) AS landing(account)
        ),
        CASE desired WHEN 'present' THEN candidates #>> ARRAY[cursor, 'account'] END
    ) COLLATE "C"
    FROM (
        SELECT desired,
            CASE
                WHEN json_typeof(body) = 'object'
                    AND (position(E'\\u' IN body::text) = 0 OR replace(body::text, E'\\\\', '') !~ E'\\\\u(0000|[dD])')
                    THEN body
            END AS body
        FROM vip.servers
        WHERE wake_at IS NOT NULL AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at, id
        LIMIT 1000
    ) AS moving,
    json_to_record(moving.body) AS record(removing json, provider_ref json, land json, candidates json, cursor text)
),
-- Deletions that are pending, and servers that are removed though nobody asked: those of orders that failed, second ones. By the
-- index of what moves, in which all of them stand (`servers_to_wake`), and by that of a server's operations. A body is read for a
-- server that is being removed alone, as above.
removal(since) AS MATERIALIZED (
    SELECT coalesce(
        (SELECT min(updated_at) FROM vip.operations WHERE server = moving.id AND verb = 'delete' AND status = 'pending'),
        CASE
            WHEN removing_id IS NOT NULL
                AND (position(E'\\u' IN body::text) = 0 OR replace(body::text, E'\\\\', '') !~ E'\\\\u(0000|[dD])')
            THEN (
                -- Parked meanwhile, it began anew when it went on.
                SELECT greatest(begun.at, (SELECT max(updated_at) FROM vip.operations WHERE server = moving.id))
                FROM (SELECT substring((body #> '{removing,since}')::text FROM '^[0-9]{1,18}$')::bigint AS at) AS begun
                WHERE begun.at IS NOT NULL
            )
        END
    )
    FROM (
        SELECT id, state, desired, removing_id, body
        FROM vip.servers
        WHERE wake_at IS NOT NULL AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at, id
        LIMIT 10000
    ) AS moving
    WHERE state <> 'parked' AND (desired = 'absent' OR removing_id IS NOT NULL)
)
SELECT
    coalesce($2::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now,
    (SELECT count(*) FROM (SELECT FROM vip.audit WHERE sequence IS NULL LIMIT $1) AS counted) AS unsealed,
    (SELECT count(*) FROM (SELECT FROM vip.servers WHERE state = 'parked' LIMIT $1) AS counted) AS parked,
    (SELECT min(wake_at) FROM vip.servers WHERE wake_at IS NOT NULL) AS next_wake,
    (SELECT min(since) FROM removal) AS oldest_removal,
    (
        SELECT coalesce(json_object_agg(class, number), '{}')::text
        FROM (
            SELECT class, count(*) AS number FROM (SELECT class FROM vip.sightings LIMIT $1) AS counted GROUP BY class
        ) AS classes
    ) AS sightings,
    (
        SELECT coalesce(json_agg(account), '[]')::text
        FROM (SELECT account FROM used UNION SELECT account FROM next) AS needed
        WHERE account IS NOT NULL
    ) AS accounts
