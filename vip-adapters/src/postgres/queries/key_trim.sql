-- By their places: a plan made while there were few, and kept, must not walk through all of them when there are many.
DELETE FROM vip.keys
WHERE ctid = ANY (ARRAY(
    SELECT keys.ctid
    FROM unnest($1::uuid[]) AS ended(id)
    JOIN vip.keys ON keys.server = ANY (ARRAY[ended.id])
    LIMIT $2
))
