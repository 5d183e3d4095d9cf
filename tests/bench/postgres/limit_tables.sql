-- The best case: no keys, no retries, no leases, one row for each job and one index in the order of claims.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE TABLE limit_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state smallint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    worker integer,
    attempt integer NOT NULL DEFAULT 0,
    payload jsonb NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX limit_jobs_ready ON limit_jobs (id) WHERE state = 0;
