-- As `job_ring.sql`, in a transaction of its own: a hint that is lost is polled for, so that it waits for no disk. Until the end of this
-- transaction, no longer.
SELECT pg_notify('vip_jobs', $1), set_config('synchronous_commit', 'off', true) WHERE pg_notification_queue_usage() < 0.5
