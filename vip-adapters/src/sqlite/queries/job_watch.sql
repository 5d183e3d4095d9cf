-- `data_version` changes when another connection of any process has committed.
SELECT
    (SELECT data_version FROM pragma_data_version) AS version,
    EXISTS (SELECT 1 FROM vip_jobs WHERE state = 'waiting' AND due <= ?1) AS due,
    (SELECT min(due) FROM vip_jobs WHERE state = 'waiting' AND due > ?1) AS next_due
