-- Asked before a reap, so that an idle process does not write.
SELECT EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'leased' AND lease_until <= ?1) AS expired
