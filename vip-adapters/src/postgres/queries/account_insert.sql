-- For an account that was read as version 0, that is as unknown. If somebody was faster there is no row.
INSERT INTO vip.accounts (id, version, body) VALUES ($1, 1, $2::text::json) ON CONFLICT DO NOTHING
