-- Several processes may open a new file at once: the first id stays.
INSERT INTO vip_installation (one, id, created_at) VALUES (1, ?1, ?2) ON CONFLICT DO NOTHING
