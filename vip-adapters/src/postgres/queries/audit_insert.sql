-- No ON CONFLICT: a second record for a change or for a version must never pass unseen.
INSERT INTO vip.audit (change_id, tenant, server, version, at, body) VALUES ($1, $2, $3, $4, $5, $6)
