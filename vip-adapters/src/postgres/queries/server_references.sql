-- Columns, and two places of the body: the sweep reads every record of an account and need not decode it. Two searches,
-- because one with OR would walk through all records ever made.
SELECT id, tenant, state, desired, account, provider_id, removing_id, provider_name, create_hash,
    -- A create is announced or may still land: something may be there that is not recorded yet.
    -- Of a damaged record nobody knows, nor of one with what is no text to this server: it would fail on it.
    coalesce(
        CASE
            WHEN position(E'\\u' IN body::text) = 0 OR replace(body::text, E'\\\\', '') !~ E'\\\\u(0000|[dD])'
                THEN body ->> 'intent' IS NOT NULL OR body ->> 'land' <> '{}'
        END,
        true
    ) AS open
FROM vip.servers
WHERE id IN (
    SELECT id FROM vip.servers WHERE state NOT IN ('failed', 'deleted') AND account = $1
    UNION
    SELECT id FROM vip.servers WHERE state NOT IN ('failed', 'deleted') AND provider_account = $1
)
ORDER BY id
