-- Asked before a reap, so that an idle process does not write. Beyond ?2 no lease ends that was granted by the present clock.
SELECT EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'leased' AND lease_until <= ?1)
    OR EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'leased' AND lease_until > ?2) AS expired
