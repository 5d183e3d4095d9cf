-- Asked before a reap, so that an idle process does not write.
SELECT EXISTS (
    SELECT FROM vip.leases
    WHERE until <= coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)
) AS expired
