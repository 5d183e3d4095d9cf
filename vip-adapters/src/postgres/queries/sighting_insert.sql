-- All rows come as one JSON array: an account can have thousands, and this is one statement for all of them.
INSERT INTO vip.sightings (account, provider_id, server, class, first_seen, last_seen, count, ripe)
SELECT
    $1, seen.value -> 'key' ->> 'id', (seen.value ->> 'server')::uuid, seen.value ->> 'class',
    (seen.value ->> 'first_seen')::bigint, (seen.value ->> 'last_seen')::bigint, (seen.value ->> 'count')::bigint,
    (seen.value ->> 'ripe')::boolean
FROM json_array_elements($2::text::json) AS seen(value)
ON CONFLICT (account, provider_id) DO UPDATE SET
    server = excluded.server, class = excluded.class, first_seen = excluded.first_seen,
    last_seen = excluded.last_seen, count = excluded.count, ripe = excluded.ripe
