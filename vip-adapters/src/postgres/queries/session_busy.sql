-- Whether a session of this role has been at work on a claim (`job_claim.sql`, known by its first words) for so long.
SELECT EXISTS (
    SELECT
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND state = 'active'
      AND query LIKE '-- A claim:%'
      AND query_start < clock_timestamp() - $1::bigint * interval '1 microsecond'
) AS busy
