-- By their places: a plan made while there were few, and kept, must not walk through all of them when there are many.
DELETE FROM vip.keys
WHERE ctid = ANY (ARRAY(
    SELECT keys.ctid
    FROM vip.servers
    JOIN vip.keys ON keys.server = ANY (ARRAY[servers.id])
    WHERE NOT servers.trimmed
      AND servers.gone_at IS NOT NULL
      AND servers.state IN ('failed', 'deleted')
      AND servers.gone_at <= $1 -- guard: retention
    LIMIT $2
))
