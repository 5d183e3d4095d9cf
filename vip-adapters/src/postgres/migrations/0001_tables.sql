-- Everything of VIP in one schema. Times are microseconds since 1970 (UTC); views at the end show them readably.
-- Text is compared byte by byte (COLLATE "C"): pages and chains must not depend on the language of the database.

-- Which versions of the library may use these tables: `readable_by` is the oldest schema version whose program can.
CREATE TABLE vip.compatibility (
    one smallint NOT NULL PRIMARY KEY CHECK (one = 1),
    readable_by bigint NOT NULL
);
INSERT INTO vip.compatibility (one, readable_by) VALUES (1, 1);

-- Names this installation at the provider; one row, made when the schema is.
CREATE TABLE vip.installation (
    one smallint NOT NULL PRIMARY KEY CHECK (one = 1),
    id uuid NOT NULL,
    created_at bigint NOT NULL
);

-- `body` is the whole record as JSON. Of the columns, `stamp`, `version`, `holder` and `holder_epoch` are the truth
-- (the body may hold older ones); the others repeat what guards, lists and indexes need.
CREATE TABLE vip.servers (
    id uuid NOT NULL PRIMARY KEY,
    stamp uuid NOT NULL,
    version bigint NOT NULL,
    holder uuid,
    holder_epoch bigint NOT NULL,
    wake_at bigint,
    gone_at bigint,
    created_at bigint NOT NULL,
    quota_held boolean NOT NULL,
    -- Whether retention took all of it but its tombstone.
    trimmed boolean NOT NULL DEFAULT false,
    -- Whether it may have keys: true with the first one, false once retention took the last one.
    keyed boolean NOT NULL DEFAULT false,
    tenant text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    desired text COLLATE "C" NOT NULL,
    -- Never released, not even by a tombstone: a name at the provider is used once.
    provider_name text COLLATE "C" NOT NULL UNIQUE,
    create_hash text COLLATE "C" NOT NULL,
    account text COLLATE "C",
    provider_account text COLLATE "C",
    provider_id text COLLATE "C",
    removing_id text COLLATE "C",
    -- json, not jsonb: the server checks it and does not convert it.
    body json NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX servers_by_tenant ON vip.servers (tenant, id);
CREATE INDEX servers_to_wake ON vip.servers (wake_at, id) WHERE wake_at IS NOT NULL;
CREATE INDEX servers_by_account ON vip.servers (account) WHERE state NOT IN ('failed', 'deleted');
CREATE INDEX servers_by_provider_account ON vip.servers (provider_account) WHERE state NOT IN ('failed', 'deleted');
CREATE INDEX servers_parked ON vip.servers (id) WHERE state = 'parked';
-- Two, because keys may be kept for shorter than records: whose keys are gone is not looked at again until it is trimmed itself.
CREATE INDEX servers_keyed ON vip.servers (gone_at) WHERE gone_at IS NOT NULL AND keyed;
CREATE INDEX servers_to_trim ON vip.servers (gone_at) WHERE gone_at IS NOT NULL AND NOT trimmed AND NOT keyed;

CREATE TABLE vip.operations (
    id uuid NOT NULL PRIMARY KEY,
    server uuid NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    verb text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    code text COLLATE "C",
    request_id text COLLATE "C"
);
CREATE INDEX operations_by_tenant ON vip.operations (tenant, id);
CREATE INDEX operations_by_server ON vip.operations (server);

CREATE TABLE vip.keys (
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    operation uuid NOT NULL,
    server uuid NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX keys_by_server ON vip.keys (server);

-- Half empty pages: the counter of a busy tenant changes with every order.
CREATE TABLE vip.quotas (
    tenant text COLLATE "C" NOT NULL PRIMARY KEY,
    used bigint NOT NULL CHECK (used >= 0)
) WITH (fillfactor = 50);

CREATE TABLE vip.sightings (
    account text COLLATE "C" NOT NULL,
    provider_id text COLLATE "C" NOT NULL,
    server uuid,
    class text COLLATE "C" NOT NULL,
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    count bigint NOT NULL,
    ripe boolean NOT NULL,
    PRIMARY KEY (account, provider_id)
);
CREATE INDEX sightings_by_server ON vip.sightings (server) WHERE server IS NOT NULL;

CREATE TABLE vip.accounts (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    version bigint NOT NULL,
    body json NOT NULL
);

-- `position` rises with the versions of each server: its row is locked from the write of a version to the commit, and
-- the position is given in between. Between servers it says nothing, which is why sealing numbers anew.
-- `sequence` and `hash` are empty until the record is sealed. `body` is exactly what is hashed.
CREATE TABLE vip.audit (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id uuid NOT NULL UNIQUE,
    server uuid NOT NULL,
    version bigint NOT NULL,
    at bigint NOT NULL,
    sequence bigint,
    tenant text COLLATE "C" NOT NULL,
    hash text COLLATE "C",
    body text COLLATE "C" NOT NULL,
    UNIQUE (server, version),
    UNIQUE (tenant, sequence)
);
CREATE INDEX audit_to_seal ON vip.audit (position) WHERE sequence IS NULL;

CREATE TABLE vip.audit_heads (
    tenant text COLLATE "C" NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL,
    hash text COLLATE "C" NOT NULL
);

-- How far each sink has received each tenant's records. `delivered_at` orders the turns: it only rises.
CREATE TABLE vip.audit_deliveries (
    sink text COLLATE "C" NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    delivered_at bigint NOT NULL,
    PRIMARY KEY (sink, tenant)
);
CREATE INDEX audit_deliveries_by_turn ON vip.audit_deliveries (sink, delivered_at);

-- Against mistakes of people and of code; whoever owns the tables can drop the triggers, which is why there is a chain
-- and why programs should run under a role that owns nothing.
CREATE FUNCTION vip.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'audit records are kept';
    END IF;
    IF OLD.sequence IS NOT NULL OR NEW.sequence IS NULL OR NEW.position <> OLD.position
        OR NEW.change_id <> OLD.change_id OR NEW.tenant <> OLD.tenant OR NEW.server <> OLD.server
        OR NEW.version <> OLD.version OR NEW.at <> OLD.at OR NEW.body <> OLD.body THEN
        RAISE EXCEPTION 'audit records do not change';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_is_sealed_once BEFORE UPDATE OR DELETE ON vip.audit
    FOR EACH ROW EXECUTE FUNCTION vip.refuse_audit_change();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON vip.audit
    FOR EACH STATEMENT EXECUTE FUNCTION vip.refuse_audit_change();

-- One row per key. `claim` and `lease_until` are there while it is leased; `rerun_due` and `rerun_why` mark a leased
-- job that has to run once more. state: 0 waiting, 1 leased, 2 dead. why: 1 wake, 2 command.
--
-- No index and no predicate of an index holds a column that a claim changes: a claim is then a HOT update, which writes
-- the changed bytes and no index entry. More than half empty pages leave room for the second version of each row, which holds a
-- claim and the end of its lease besides. The payload
-- stands last, so that the unchanged end of the row is not logged.
CREATE TABLE vip.jobs (
    id uuid NOT NULL PRIMARY KEY,
    -- The place in the order of claims; the dead stand behind all others, where no claim walks over them.
    ready_at bigint NOT NULL GENERATED ALWAYS AS (CASE WHEN state = 2 THEN 9223372036854775807 ELSE due END) STORED,
    due bigint NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until bigint,
    rerun_due bigint,
    claim uuid,
    attempts integer NOT NULL DEFAULT 0,
    snoozes integer NOT NULL DEFAULT 0,
    rescues integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    state smallint NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    rerun_why smallint CHECK (rerun_why IN (1, 2)),
    -- Why it was enqueued last, and what that did: 0 inserted, 1 merged, 2 will run again, 3 revived.
    why smallint NOT NULL CHECK (why IN (1, 2)),
    answer smallint NOT NULL DEFAULT 0 CHECK (answer IN (0, 1, 2, 3)),
    key text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind > ''),
    last_error text COLLATE "C",
    tenant text COLLATE "C",
    request_id text COLLATE "C",
    trace_parent text COLLATE "C",
    payload text COLLATE "C" NOT NULL
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX jobs_key ON vip.jobs (key);
-- For whoever asks by kind, and says so with `kind > ''`, and for nobody else: a server that counted the jobs when there were none would
-- look for an id through the whole of this index when there are many.
CREATE INDEX jobs_ready ON vip.jobs (kind, ready_at, id) WHERE kind > '';

-- One row for each claim that got jobs. `until` is never later than the end of a lease that is still held under it: so
-- expired leases are found here, and no index on the jobs has to change with a claim.
CREATE TABLE vip.leases (
    claim uuid NOT NULL,
    until bigint NOT NULL,
    jobs uuid[] NOT NULL
-- Ids do not get shorter by compressing them, and a row of 256 fits a page.
) WITH (toast_tuple_target = 8160);
ALTER TABLE vip.leases ALTER COLUMN jobs SET STORAGE EXTERNAL;
CREATE INDEX leases_until ON vip.leases (until);
-- A key would be one more index that each claim pays for. Without either no row may be changed or deleted once somebody publishes
-- all tables: no expired lease would be rescued. Whole rows are logged for that alone (`wal_level = logical`).
ALTER TABLE vip.leases REPLICA IDENTITY FULL;

-- Every claimed job gets the next number; opening raises it to the clock, so that it rises even if the database is lost
-- and a new one begins.
CREATE SEQUENCE vip.epochs AS bigint;

-- For people: the same rows with times that can be read.
CREATE FUNCTION vip.readable(micros bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    RETURN to_timestamp(micros / 1e6);
CREATE VIEW vip.servers_readable AS
SELECT id, tenant, provider_name, state, desired, version, account, provider_id, removing_id, quota_held,
    body ->> 'server_type' AS server_type,
    body ->> 'location' AS location,
    body ->> 'wait_reason' AS wait_reason,
    body ->> 'fail_reason' AS fail_reason,
    body ->> 'park_reason' AS park_reason,
    vip.readable(wake_at) AS wake_at, vip.readable(created_at) AS created_at, vip.readable(gone_at) AS gone_at
FROM vip.servers;
CREATE VIEW vip.operations_readable AS
SELECT id, tenant, server, verb, status, code, request_id,
    vip.readable(created_at) AS created_at, vip.readable(updated_at) AS updated_at
FROM vip.operations;
CREATE VIEW vip.jobs_readable AS
SELECT id, key, kind, CASE state WHEN 0 THEN 'waiting' WHEN 1 THEN 'leased' ELSE 'dead' END AS state,
    attempts, snoozes, rescues, max_attempts, epoch, claim, last_error, tenant,
    CASE rerun_why WHEN 1 THEN 'wake' WHEN 2 THEN 'command' END AS rerun_why,
    vip.readable(due) AS due, vip.readable(lease_until) AS lease_until, vip.readable(rerun_due) AS rerun_due
FROM vip.jobs;
