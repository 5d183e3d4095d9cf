-- In the order of the commits; writers take turns, so this is the order of versions of each server, too.
SELECT position, tenant, body
FROM vip.audit
WHERE sequence IS NULL
ORDER BY position
LIMIT $1
