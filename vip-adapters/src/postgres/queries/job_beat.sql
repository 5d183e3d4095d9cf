-- Only leases that have not expired: an expired one may be in other hands at any moment.
WITH clock AS MATERIALIZED (
    SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
)
UPDATE vip.jobs AS job
SET lease_until = greatest(job.lease_until, clock.now + $4)
FROM clock, unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS held(id, epoch, claim)
WHERE job.id = held.id
  AND job.state = 1
  AND job.epoch = held.epoch -- guard: epoch
  AND job.claim = held.claim -- guard: claim
  AND job.lease_until > clock.now -- guard: expiry
RETURNING held.id, held.epoch, held.claim
