SELECT account, provider_id, server, class, first_seen, last_seen, count, ripe
FROM vip.sightings
WHERE account = $1
ORDER BY provider_id
