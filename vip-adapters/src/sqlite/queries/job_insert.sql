-- An id or a key that exists makes no row: then one of the other statements has to fit.
INSERT INTO vip_jobs (id, key, kind, payload, tenant, request_id, trace_parent, state, due, max_attempts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?9, 'waiting', ?7, ?8)
ON CONFLICT DO NOTHING
