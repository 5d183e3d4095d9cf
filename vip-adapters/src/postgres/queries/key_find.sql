-- Keys of one or many callers, each under its own tenant; the place says whose. By ANY as in `job_done.sql`: never by a walk through
-- the keys of everybody.
SELECT wanted.place, found.key, found.fingerprint, found.operation, found.server
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted(tenant, key, place)
JOIN vip.keys AS found ON found.key = ANY (ARRAY[wanted.key])
  AND found.tenant = ANY (ARRAY[wanted.tenant]) -- guard: tenant
