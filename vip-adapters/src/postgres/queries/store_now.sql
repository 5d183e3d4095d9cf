-- Answers only if there is an installation, that is if the store can be used.
SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now FROM vip.installation
