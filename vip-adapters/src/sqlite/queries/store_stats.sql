-- Without the hint the unsealed ones are counted by a walk through all audit records.
SELECT
    (SELECT count(*) FROM vip_audit INDEXED BY vip_audit_to_seal WHERE sequence IS NULL) AS unsealed,
    (SELECT count(*) FROM vip_servers WHERE state = 'parked') AS parked,
    (SELECT min(wake_at) FROM vip_servers WHERE wake_at IS NOT NULL) AS next_wake,
    (
        SELECT json_group_object(class, number)
        FROM (SELECT class, count(*) AS number FROM vip_sightings GROUP BY class)
    ) AS sightings
