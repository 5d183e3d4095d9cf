-- Asked inside the transaction of a host: which installation its connection reaches, and the time.
SELECT id, coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now FROM vip.installation
