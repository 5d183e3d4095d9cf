-- In the order of the commits; writers take turns, so this is the order of versions of each server, too.
-- `$2` lists the tenants whose chain is broken: however many records of theirs wait in front, others get their places.
SELECT position, tenant, body
FROM vip.audit
WHERE sequence IS NULL
  AND tenant <> ALL ($2::text[])
ORDER BY position
LIMIT $1
