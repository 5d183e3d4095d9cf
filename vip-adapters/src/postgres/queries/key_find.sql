-- Keys of one or many callers, each under its own tenant; the place says whose. Each is looked for by itself, with both columns of the
-- index: a plan made while there were few keys, and kept, would walk through all those of a tenant, or of everybody, when there are many.
SELECT wanted.place, found.key, found.fingerprint, found.operation, found.server
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted(tenant, key, place)
CROSS JOIN LATERAL (
    SELECT *
    FROM vip.keys AS known
    WHERE known.key = wanted.key
      AND known.tenant = wanted.tenant -- guard: tenant
    LIMIT 1
) AS found
