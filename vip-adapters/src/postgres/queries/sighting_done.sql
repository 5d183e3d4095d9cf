DELETE FROM vip.sightings WHERE account = $1 AND provider_id = $2
