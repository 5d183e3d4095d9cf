-- `data_version` changes when another connection of any process has committed: then a job may have been put back with
-- a due time long past. `ripened` are those that became due since the last claim.
SELECT
    (SELECT data_version FROM pragma_data_version) AS version,
    EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'waiting' AND due <= ?1) AS due,
    EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'waiting' AND due > ?2 AND due <= ?1) AS ripened,
    (SELECT min(due) FROM vip_jobs WHERE state = 'waiting' AND due > ?1) AS next_due
