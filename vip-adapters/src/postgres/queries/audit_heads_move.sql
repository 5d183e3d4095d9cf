-- Moved on from where it was read. Sealers take turns, so nobody can have moved it meanwhile; if the row count says
-- otherwise, somebody has changed the tables by hand. By ANY as in `job_done.sql`: never by a walk through all heads.
UPDATE vip.audit_heads AS head
SET sequence = moved.sequence, hash = moved.hash
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS moved(tenant, sequence, hash, before)
WHERE head.tenant = ANY (ARRAY[moved.tenant])
  AND head.sequence = moved.before
