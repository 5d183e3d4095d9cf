-- Asked before a reap, so that an idle process does not write. Beyond $2 no lease ends that was granted by the present clock.
SELECT EXISTS (
    SELECT FROM vip.leases
    WHERE until <= coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)
) OR EXISTS (SELECT FROM vip.leases WHERE until > $2) AS expired
