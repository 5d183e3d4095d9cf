-- For the role that runs: run once after the first migration, and again after each, as the owner of the tables.
GRANT USAGE ON SCHEMA vip TO vip_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON vip.servers, vip.operations, vip.keys, vip.quotas, vip.sightings, vip.accounts,
    vip.jobs, vip.leases, vip.audit_deliveries TO vip_app;
-- Audit records are written without a place in the chain, and sealed once: a trigger of the owner refuses every other change. A
-- record that came with a place would stand in the way of the next seal for ever. What was granted on the whole table before this
-- was said by columns is taken back.
REVOKE INSERT ON vip.audit FROM vip_app;
GRANT SELECT ON vip.audit TO vip_app;
GRANT INSERT (change_id, tenant, server, version, at, body) ON vip.audit TO vip_app;
GRANT UPDATE (sequence, hash) ON vip.audit TO vip_app;
GRANT SELECT, INSERT, UPDATE ON vip.audit_heads TO vip_app;
GRANT SELECT, INSERT ON vip.installation TO vip_app;
GRANT SELECT ON vip.migrations, vip.compatibility, vip.servers_readable, vip.operations_readable, vip.jobs_readable TO vip_app;
-- Epochs are drawn by claims and raised to the clock when a program starts.
GRANT USAGE, SELECT, UPDATE ON SEQUENCE vip.epochs TO vip_app;
