-- A fenced writer without a job: it takes over with the next epoch, whatever that is.
UPDATE vip_servers
SET
    state = ?3,
    desired = ?4,
    stamp = ?5,
    version = version + 1,
    account = ?6,
    provider_account = ?7,
    provider_id = ?8,
    removing_id = ?9,
    wake_at = ?10,
    gone_at = ?11,
    quota_held = ?12,
    -- A record that is opened again is whole again.
    trimmed = 0,
    keyed = keyed OR ?20,
    body = ?13,
    holder = ?15,
    holder_epoch = holder_epoch + 1
WHERE id = ?1
  AND tenant = ?2 -- guard: tenant
  AND stamp = ?14 -- guard: stamp
RETURNING version, holder, holder_epoch
