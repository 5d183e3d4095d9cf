-- A later commit of a claim (F2).
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
    body = ?13
WHERE id = ?1
  AND tenant = ?2 -- guard: tenant
  AND stamp = ?14 -- guard: stamp
  AND holder = ?15 -- guard: holder
  -- Where the store shares its database with the queue, the lease has to be the present one of its job (F3).
  AND (?17 IS NULL OR EXISTS (SELECT 1 FROM vip_jobs WHERE id = ?17 AND epoch = ?18 AND claim = ?19 AND state = 'leased')) -- guard: lease
RETURNING version, holder, holder_epoch
