DELETE FROM vip.sightings WHERE account = $1
