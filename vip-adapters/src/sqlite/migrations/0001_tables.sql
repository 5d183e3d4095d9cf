-- Everything of VIP in one file. The prefix `vip_` keeps it apart from the tables of the host.
-- Times are microseconds since 1970 (UTC); identifiers are text, so that a person can look one up.

-- Names this installation at the provider; one row, made when the file is.
CREATE TABLE vip_installation (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- `body` is the whole record as JSON. Of the columns, `stamp`, `version`, `holder` and `holder_epoch` are the truth
-- (the body may hold older ones); the others repeat what guards, lists and indexes need.
CREATE TABLE vip_servers (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    desired TEXT NOT NULL,
    stamp TEXT NOT NULL,
    version INTEGER NOT NULL,
    holder TEXT,
    holder_epoch INTEGER NOT NULL,
    -- Never released, not even by a tombstone: a name at the provider is used once.
    provider_name TEXT NOT NULL UNIQUE,
    create_hash TEXT NOT NULL,
    account TEXT,
    provider_account TEXT,
    provider_id TEXT,
    removing_id TEXT,
    wake_at INTEGER,
    gone_at INTEGER,
    quota_held INTEGER NOT NULL CHECK (quota_held IN (0, 1)),
    created_at INTEGER NOT NULL,
    -- Whether retention took all of it but its tombstone.
    trimmed INTEGER NOT NULL DEFAULT 0 CHECK (trimmed IN (0, 1)),
    -- Whether it may have keys: 1 with the first one, 0 once retention took the last one.
    keyed INTEGER NOT NULL DEFAULT 0 CHECK (keyed IN (0, 1)),
    body TEXT NOT NULL
) STRICT;
CREATE INDEX vip_servers_by_tenant ON vip_servers (tenant, id);
CREATE INDEX vip_servers_to_wake ON vip_servers (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX vip_servers_by_account ON vip_servers (account) WHERE state NOT IN ('failed', 'deleted');
CREATE INDEX vip_servers_by_provider_account ON vip_servers (provider_account) WHERE state NOT IN ('failed', 'deleted');
CREATE INDEX vip_servers_parked ON vip_servers (id) WHERE state = 'parked';
-- Two, because keys may be kept for shorter than records: whose keys are gone is not looked at again until it is trimmed itself.
CREATE INDEX vip_servers_keyed ON vip_servers (gone_at) WHERE gone_at IS NOT NULL AND keyed = 1;
CREATE INDEX vip_servers_to_trim ON vip_servers (gone_at) WHERE gone_at IS NOT NULL AND trimmed = 0 AND keyed = 0;

CREATE TABLE vip_operations (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    server TEXT NOT NULL,
    verb TEXT NOT NULL,
    status TEXT NOT NULL,
    code TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX vip_operations_by_tenant ON vip_operations (tenant, id);
CREATE INDEX vip_operations_by_server ON vip_operations (server);

CREATE TABLE vip_keys (
    tenant TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    operation TEXT NOT NULL,
    server TEXT NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX vip_keys_by_server ON vip_keys (server);

CREATE TABLE vip_quotas (
    tenant TEXT NOT NULL PRIMARY KEY,
    used INTEGER NOT NULL CHECK (used >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE vip_sightings (
    account TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    server TEXT,
    class TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    ripe INTEGER NOT NULL CHECK (ripe IN (0, 1)),
    PRIMARY KEY (account, provider_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX vip_sightings_by_server ON vip_sightings (server) WHERE server IS NOT NULL;

CREATE TABLE vip_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `position` is the order of the commits: writers take turns, so a later commit has a higher one.
-- `sequence` and `hash` are empty until the record is sealed. `body` is exactly what is hashed.
CREATE TABLE vip_audit (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    server TEXT NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    sequence INTEGER,
    hash TEXT,
    UNIQUE (server, version),
    UNIQUE (tenant, sequence)
) STRICT;
CREATE INDEX vip_audit_to_seal ON vip_audit (position) WHERE sequence IS NULL;

CREATE TABLE vip_audit_heads (
    tenant TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each sink has received each tenant's records. `delivered_at` orders the turns: it only rises.
CREATE TABLE vip_audit_deliveries (
    sink TEXT NOT NULL,
    tenant TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL,
    PRIMARY KEY (sink, tenant)
) STRICT, WITHOUT ROWID;
CREATE INDEX vip_audit_deliveries_by_turn ON vip_audit_deliveries (sink, delivered_at);

-- Against mistakes of people and of code; whoever owns the file can drop the triggers, which is why there is a chain.
CREATE TRIGGER vip_audit_is_not_deleted BEFORE DELETE ON vip_audit
BEGIN SELECT RAISE(ABORT, 'audit records are kept'); END;
CREATE TRIGGER vip_audit_is_sealed_once BEFORE UPDATE ON vip_audit
WHEN OLD.sequence IS NOT NULL OR NEW.sequence IS NULL OR NEW.position <> OLD.position OR NEW.change_id <> OLD.change_id
    OR NEW.tenant <> OLD.tenant OR NEW.server <> OLD.server OR NEW.version <> OLD.version OR NEW.at <> OLD.at
    OR NEW.body <> OLD.body
BEGIN SELECT RAISE(ABORT, 'audit records do not change'); END;

-- One row per key. `claim` and `lease_until` are there while it is leased; `rerun_due` and `rerun_why` mark a leased
-- job that has to run once more.
CREATE TABLE vip_jobs (
    id TEXT NOT NULL PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'leased', 'dead')),
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    snoozes INTEGER NOT NULL DEFAULT 0,
    rescues INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    claim TEXT,
    lease_until INTEGER,
    rerun_due INTEGER,
    rerun_why TEXT CHECK (rerun_why IN ('wake', 'command')),
    last_error TEXT,
    tenant TEXT,
    request_id TEXT,
    trace_parent TEXT,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX vip_jobs_waiting ON vip_jobs (due, id, kind) WHERE state = 'waiting';
CREATE INDEX vip_jobs_leased ON vip_jobs (lease_until) WHERE state = 'leased';

-- The highest epoch that was ever given; it outlives every job.
CREATE TABLE vip_epochs (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO vip_epochs (one, last) VALUES (1, 0);

-- For people: the same rows with times that can be read.
CREATE VIEW vip_servers_readable AS
SELECT id, tenant, provider_name, state, desired, version, account, provider_id, removing_id, quota_held,
    body ->> '$.server_type' AS server_type,
    body ->> '$.location' AS location,
    body ->> '$.wait_reason' AS wait_reason,
    body ->> '$.fail_reason' AS fail_reason,
    body ->> '$.park_reason' AS park_reason,
    strftime('%Y-%m-%dT%H:%M:%fZ', wake_at / 1e6, 'unixepoch') AS wake_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', gone_at / 1e6, 'unixepoch') AS gone_at
FROM vip_servers;
CREATE VIEW vip_operations_readable AS
SELECT id, tenant, server, verb, status, code, request_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1e6, 'unixepoch') AS updated_at
FROM vip_operations;
CREATE VIEW vip_jobs_readable AS
SELECT id, key, kind, state, attempts, snoozes, rescues, max_attempts, epoch, claim, rerun_why, last_error, tenant,
    strftime('%Y-%m-%dT%H:%M:%fZ', due / 1e6, 'unixepoch') AS due,
    strftime('%Y-%m-%dT%H:%M:%fZ', lease_until / 1e6, 'unixepoch') AS lease_until,
    strftime('%Y-%m-%dT%H:%M:%fZ', rerun_due / 1e6, 'unixepoch') AS rerun_due
FROM vip_jobs;
