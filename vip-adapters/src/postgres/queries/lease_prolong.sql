-- Puts off the end of the claims of leases that a heartbeat could not prolong, as far as these have not ended: no reap looks at
-- the jobs of a claim before that. Whoever reaps holds the row of the claim to his end, and is waited for; whether he was
-- faster is seen by the next statement alone. The rows of the jobs are read, not locked.
WITH clock AS MATERIALIZED (
    SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- By ANY as in `job_done.sql`: never by a walk through all jobs.
ours AS MATERIALIZED (
    SELECT job.id, job.epoch, job.claim, job.lease_until
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[said.id])
    WHERE job.state = 1 AND job.epoch = said.epoch AND job.claim = said.claim
),
-- Claims have no index by their ids, which each claim would have to pay for; there are those of one lease time. They are read
-- through only if a lease is still ours, which is when its row is held.
claims AS MATERIALIZED (
    SELECT claim, until FROM vip.leases
    WHERE EXISTS (SELECT FROM ours) AND claim = ANY(ARRAY(SELECT DISTINCT claim FROM ours))
),
-- A lease ends when both have: what stands in its row, and what stands in its claim.
held AS MATERIALIZED (
    SELECT ours.id, ours.epoch, ours.claim
    FROM clock CROSS JOIN ours JOIN claims ON claims.claim = ours.claim
    WHERE greatest(ours.lease_until, claims.until) > clock.now
),
prolonged AS (
    UPDATE vip.leases AS lease
    SET until = greatest(lease.until, clock.now + $4)
    FROM clock
    WHERE EXISTS (SELECT FROM held) AND lease.claim = ANY(ARRAY(SELECT DISTINCT claim FROM held))
    RETURNING lease.claim
)
SELECT held.id, held.epoch, held.claim FROM held WHERE held.claim IN (SELECT claim FROM prolonged)
