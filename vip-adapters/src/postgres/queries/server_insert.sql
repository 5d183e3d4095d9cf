-- A new server. An id or a provider name that exists makes no row, which the row count tells: it is a conflict.
INSERT INTO vip.servers (
    id, tenant, state, desired, stamp, account, provider_account, provider_id, removing_id, wake_at, gone_at,
    quota_held, body, version, holder, holder_epoch, provider_name, create_hash, created_at, keyed
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::json, 1, $14, $15, $16, $17, $18, $19)
ON CONFLICT DO NOTHING
RETURNING version, holder, holder_epoch
