-- Asked before a claim: an idle worker must not write to the disk just to learn that there is nothing to do.
SELECT EXISTS (
    SELECT 1
    FROM vip_jobs
    WHERE state = 'waiting'
      AND due <= ?1
      AND kind IN (SELECT value FROM json_each(?2))
) AS due
