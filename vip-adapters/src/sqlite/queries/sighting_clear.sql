DELETE FROM vip_sightings WHERE account = ?1
