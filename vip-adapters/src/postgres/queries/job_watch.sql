-- Whether a job of these kinds may be claimed, and else when the next one becomes due.
SELECT coalesce(first.ready_at <= clock.now, false) AS due, first.ready_at - clock.now AS wait_micros
FROM (
    SELECT coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now
) AS clock
CROSS JOIN LATERAL (
    SELECT min(next.ready_at) AS ready_at
    FROM unnest($2::text[]) AS wanted(kind)
    CROSS JOIN LATERAL (
        SELECT ready_at FROM vip.jobs WHERE kind > '' AND kind = wanted.kind AND state = 0 ORDER BY ready_at, id LIMIT 1
    ) AS next
) AS first
