-- For the role that runs: run once after the first migration, and again after each, as the owner of the tables.
GRANT USAGE ON SCHEMA vip TO vip_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON vip.servers, vip.operations, vip.keys, vip.quotas, vip.sightings, vip.accounts,
    vip.jobs, vip.leases, vip.audit_deliveries TO vip_app;
-- Audit records are written, and sealed once: a trigger of the owner refuses every other change.
GRANT SELECT, INSERT ON vip.audit TO vip_app;
GRANT UPDATE (sequence, hash) ON vip.audit TO vip_app;
GRANT SELECT, INSERT, UPDATE ON vip.audit_heads TO vip_app;
GRANT SELECT, INSERT ON vip.installation TO vip_app;
GRANT SELECT ON vip.migrations, vip.compatibility, vip.servers_readable, vip.operations_readable, vip.jobs_readable TO vip_app;
-- Epochs are drawn by claims and raised to the clock when a program starts.
GRANT USAGE, SELECT, UPDATE ON SEQUENCE vip.epochs TO vip_app;
