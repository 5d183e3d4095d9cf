-- Only a lease that has not expired: an expired one may be in other hands at any moment.
UPDATE vip_jobs
SET lease_until = max(lease_until, ?4)
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
  AND lease_until > ?5 -- guard: expiry
