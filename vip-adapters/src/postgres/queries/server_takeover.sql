-- The first commit of a claim (F1).
UPDATE vip.servers
SET
    state = $3,
    desired = $4,
    stamp = $5,
    version = version + 1,
    account = $6,
    provider_account = $7,
    provider_id = $8,
    removing_id = $9,
    wake_at = $10,
    gone_at = $11,
    quota_held = $12,
    -- A record that is opened again is whole again.
    trimmed = false,
    keyed = keyed OR $20,
    body = $13::text::json,
    holder = $15,
    holder_epoch = $19
WHERE id = $1
  AND tenant = $2 -- guard: tenant
  AND stamp = $14 -- guard: stamp
  -- A stalled worker may have read the present stamp after its successor wrote: its epoch is lower (F1).
  AND holder_epoch < $19 -- guard: epoch
  -- The lease has to be the present one of its job (F3).
  AND ($16::uuid IS NULL OR EXISTS (SELECT FROM vip.jobs WHERE id = $16 AND epoch = $17 AND claim = $18 AND state = 1)) -- guard: lease
RETURNING version, holder, holder_epoch
