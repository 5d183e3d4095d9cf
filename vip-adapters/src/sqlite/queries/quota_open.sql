-- The row has to be there before it is counted up, so that the limit stands in one place.
INSERT INTO vip_quotas (tenant, used) VALUES (?1, 0) ON CONFLICT DO NOTHING
