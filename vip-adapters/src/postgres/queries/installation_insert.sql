-- Several processes may open a new database at once: the first id stays.
INSERT INTO vip.installation (one, id, created_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING
