-- A counter at zero, so that the limit stands in one place: the statement that counts up.
INSERT INTO vip.quotas (tenant, used) VALUES ($1, 0) ON CONFLICT DO NOTHING
