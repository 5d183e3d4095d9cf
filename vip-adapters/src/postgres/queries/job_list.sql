-- Those that wait. For the others, of whom there are few, see `job_list_dead.sql` and `job_list_leased.sql`.
SELECT
    id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues, max_attempts,
    claim, epoch, lease_until, last_error
FROM vip.jobs
WHERE state = 0
  -- Behind $1, if there is one; said so that the index begins there.
  AND id >= coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
  AND id IS DISTINCT FROM $1
ORDER BY id
LIMIT $2
