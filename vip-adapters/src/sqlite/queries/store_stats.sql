-- Without the hint the unsealed ones are counted by a walk through all audit records.
WITH RECURSIVE used(account) AS (
    -- From account to account by the index: there are few accounts and many servers.
    SELECT min(account) FROM vip_servers WHERE state NOT IN ('failed', 'deleted')
    UNION ALL
    SELECT (SELECT min(account) FROM vip_servers WHERE state NOT IN ('failed', 'deleted') AND account > used.account)
    FROM used WHERE used.account IS NOT NULL
)
SELECT
    (SELECT count(*) FROM vip_audit INDEXED BY vip_audit_to_seal WHERE sequence IS NULL) AS unsealed,
    (SELECT count(*) FROM vip_servers WHERE state = 'parked') AS parked,
    (SELECT min(wake_at) FROM vip_servers WHERE wake_at IS NOT NULL) AS next_wake,
    (
        SELECT json_group_object(class, number)
        FROM (SELECT class, count(*) AS number FROM vip_sightings GROUP BY class)
    ) AS sightings,
    (SELECT json_group_array(account) FROM used WHERE account IS NOT NULL) AS accounts
