-- All rows come as one JSON array: an account can have thousands, and this is one statement for all of them.
INSERT INTO vip_sightings (account, provider_id, server, class, first_seen, last_seen, count, ripe)
SELECT
    ?1, value ->> '$.key.id', value ->> '$.server', value ->> '$.class', value ->> '$.first_seen',
    value ->> '$.last_seen', value ->> '$.count', value ->> '$.ripe'
FROM json_each(?2)
-- SQLite reads `ON` after a SELECT as a join; this WHERE tells them apart.
WHERE true
ON CONFLICT DO UPDATE SET
    server = excluded.server, class = excluded.class, first_seen = excluded.first_seen,
    last_seen = excluded.last_seen, count = excluded.count, ripe = excluded.ripe
