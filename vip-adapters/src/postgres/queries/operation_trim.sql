-- By an array: a plan made while there were few, and kept, must not walk through all of them when there are many.
DELETE FROM vip.operations
WHERE id = ANY (ARRAY(
    SELECT operations.id
    FROM vip.servers
    JOIN vip.operations ON operations.server = ANY (ARRAY[servers.id])
    WHERE NOT servers.trimmed
      -- Whoever repeats a command is answered the operation that its key names.
      AND NOT servers.keyed
      AND servers.gone_at IS NOT NULL
      AND servers.state IN ('failed', 'deleted')
      AND servers.gone_at <= $1 -- guard: retention
    LIMIT $2
))
