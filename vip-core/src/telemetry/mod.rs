//! Every name of a span, a field and a metric, in one list: a dashboard may rely on them.

#[cfg(test)]
pub(crate) mod heard;
#[cfg(test)]
pub(crate) mod unwritable;
#[cfg(test)]
pub(crate) mod written;

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Is the span around one attempt of a job.
pub const SPAN_ATTEMPT: &str = "vip.attempt";
/// Is the span around one run of a background loop.
pub const SPAN_LOOP: &str = "vip.loop";
/// Is the span around the handler of a request.
pub const SPAN_REQUEST: &str = "vip.request";

/// Names a job.
pub const JOB_ID: &str = "job.id";
/// Names the type of a job.
pub const JOB_KIND: &str = "job.kind";
/// Names what a job is about.
pub const JOB_KEY: &str = "job.key";
/// Counts claims; with the job's id it names a lease.
pub const LEASE_EPOCH: &str = "lease.epoch";
/// Counts attempts of a job from 1.
pub const ATTEMPT: &str = "attempt";
/// Names the tenant that something belongs to.
pub const TENANT: &str = "tenant";
/// Names the request that asked for something, from the edge to the provider.
pub const REQUEST_ID: &str = "request_id";
/// Is the trace context of the request that asked for something (W3C `traceparent`).
pub const TRACE_PARENT: &str = "trace_parent";
/// Says how something ended, as a short code.
pub const OUTCOME: &str = "outcome";
/// Says why something failed, as a short code.
pub const CODE: &str = "code";
/// Says why an order fails or is parked, as its operation does.
pub const REASON: &str = "reason";
/// Is an error with its causes.
pub const ERROR: &str = "error";
/// Counts the things that a line is about.
pub const COUNT: &str = "count";
/// Says how long something took, in milliseconds.
pub const DURATION_MS: &str = "duration_ms";
/// Names a background loop.
pub const LOOP_NAME: &str = "loop.name";
/// Counts the restarts of a background loop.
pub const LOOP_RESTARTS: &str = "loop.restarts";
/// Says where a payload could not be read any further; what stands there is not said.
pub const COLUMN: &str = "payload.column";
/// Names a phase of the shutdown.
pub const PHASE: &str = "shutdown.phase";
/// Names the file of an embedded store.
pub const DB_FILE: &str = "db.file";
/// Says which settings of a Redis server decide about what it keeps.
pub const REDIS_SETTINGS: &str = "redis.settings";
/// Names a server of ours.
pub const SERVER_ID: &str = "server.id";
/// Names an operation.
pub const OPERATION_ID: &str = "operation.id";
/// Names an account at a provider.
pub const ACCOUNT_ID: &str = "account.id";
/// Identifies a token without revealing it.
pub const TOKEN_DIGEST: &str = "token.digest";
/// Says which calls a breaker's circuit is about.
pub const BREAKER_SCOPE: &str = "breaker.scope";
/// Names the location whose creates a breaker is for.
pub const BREAKER_LOCATION: &str = "breaker.location";
/// Says why a breaker opened.
pub const BREAKER_CAUSE: &str = "breaker.cause";
/// Says for how long a breaker is open, in milliseconds.
pub const BREAKER_OPEN_MS: &str = "breaker.open_ms";
/// Says how an operator wants a breaker to behave.
pub const BREAKER_MODE: &str = "breaker.mode";
/// Names a call of a provider.
pub const PROVIDER_CALL: &str = "provider.call";
/// Is the provider's own id of a request, for its support.
pub const PROVIDER_CORRELATION_ID: &str = "provider.correlation_id";
/// Names a value in a shared cache.
pub const CACHE_KEY: &str = "cache.key";
/// Names a call of a shared cache.
pub const CACHE_CALL: &str = "cache.call";
/// Says what a sweep that somebody asked for may lead to.
pub const SWEEP_MODE: &str = "sweep.mode";
/// Counts servers that an account showed to a sweep.
pub const SWEEP_LISTED: &str = "sweep.listed";
/// Counts servers that are recorded in a swept account.
pub const SWEEP_RECORDED: &str = "sweep.recorded";
/// Counts disagreements that a sweep saw.
pub const SWEEP_SIGHTINGS: &str = "sweep.sightings";
/// Counts servers that a sweep woke.
pub const SWEEP_WOKEN: &str = "sweep.woken";
/// Counts servers whose time to move had passed.
pub const SWEEP_STALLED: &str = "sweep.stalled";
/// Says why a sweep did not look at its account.
pub const SWEEP_SKIPPED: &str = "sweep.skipped";
/// Says what servers cost each month that a sweep found and no record wants.
pub const SWEEP_EXTRA_COST: &str = "sweep.extra_cost";
/// Counts idempotency keys that outlived their retention.
pub const TRIMMED_KEYS: &str = "trimmed.keys";
/// Counts operations that outlived their retention.
pub const TRIMMED_OPERATIONS: &str = "trimmed.operations";
/// Counts records that shrank to a tombstone.
pub const TRIMMED_RECORDS: &str = "trimmed.records";
/// Is the status that a request was answered with.
pub const HTTP_STATUS: &str = "http.status";
/// Is the route that a request took, with names in the place of ids.
pub const HTTP_ROUTE: &str = "http.route";

/// Counts attempts of jobs by `kind` and `outcome` (done, retry, snooze, release, dead).
pub const METRIC_JOB_ATTEMPTS: &str = "vip_job_attempts_total";
/// Times attempts by `kind` and `outcome`.
pub const METRIC_JOB_SECONDS: &str = "vip_job_attempt_duration_seconds";
/// Times how long jobs were due before they were claimed, by `kind`.
pub const METRIC_JOB_WAIT_SECONDS: &str = "vip_job_wait_seconds";
/// Counts attempts that failed, by `kind` and `code`.
pub const METRIC_JOB_FAILURES: &str = "vip_job_failures_total";
/// Counts attempts that took more than half of their lease, by `kind`.
pub const METRIC_JOB_SLOW: &str = "vip_job_slow_attempts_total";
/// Counts jobs by `state` (due, later, leased, dead).
pub const METRIC_JOBS: &str = "vip_jobs";
/// Says how long the oldest due job has been due: a stuck queue.
pub const METRIC_OLDEST_DUE_SECONDS: &str = "vip_oldest_due_job_seconds";
/// Counts calls that were sent to a provider, by `account`, `call` and `outcome`.
pub const METRIC_PROVIDER_REQUESTS: &str = "vip_provider_calls_total";
/// Times calls of a provider by `account` and `call`.
pub const METRIC_PROVIDER_REQUEST_SECONDS: &str = "vip_provider_call_duration_seconds";
/// Says where a breaker stands, by `account`: 0 closed, 1 easing, 2 probing, 3 open.
pub const METRIC_BREAKER_STATE: &str = "vip_breaker_state";
/// Says about how many requests are left, by `account`.
pub const METRIC_BUDGET_LEFT: &str = "vip_provider_budget_left";
/// Counts calls that wait for their turn, by `account`.
pub const METRIC_BUDGET_WAITING: &str = "vip_provider_budget_waiting";
/// Says how long ago this process last swept an account by itself to the end, or if it never has, for how long its sweeps have
/// failed, by `account`.
pub const METRIC_SWEEP_AGE_SECONDS: &str = "vip_sweep_age_seconds";
/// Counts parked servers.
pub const METRIC_PARKED: &str = "vip_parked_servers";
/// Says how long the oldest removal lasts that is neither done nor parked.
pub const METRIC_OLDEST_REMOVAL_SECONDS: &str = "vip_oldest_removal_seconds";
/// Counts audit records that have no place in the chain yet.
pub const METRIC_UNSEALED: &str = "vip_audit_unsealed_records";
/// Counts disagreements with the provider's inventory by `class`.
pub const METRIC_SIGHTINGS: &str = "vip_sightings";
/// Counts restarts of background loops by `loop`.
pub const METRIC_LOOP_RESTARTS: &str = "vip_loop_restarts";
/// Says how the process fares: 0 ok, 1 degraded, 2 down.
pub const METRIC_HEALTH: &str = "vip_health";
/// Counts connections to the database by `purpose` and `state`: `open`, `idle`, and `most` that may be in use.
pub const METRIC_POOL_CONNECTIONS: &str = "vip_pool_connections";
/// Counts callers that wait for a connection now, by `purpose`.
pub const METRIC_POOL_WAITING: &str = "vip_pool_waiting";
/// Counts callers that got no connection in time since the start, by `purpose`.
pub const METRIC_POOL_TIMED_OUT: &str = "vip_pool_timed_out";
/// Says how much memory is resident.
pub const METRIC_PROCESS_MEMORY_BYTES: &str = "vip_process_memory_bytes";
/// Counts open files and sockets.
pub const METRIC_PROCESS_DESCRIPTORS: &str = "vip_process_descriptors";
/// Counts tasks of the runtime that have not ended.
pub const METRIC_PROCESS_TASKS: &str = "vip_process_tasks";
/// Counts readers of a kept value, by `cache` and `outcome` (hit, stale, miss, failed).
pub const METRIC_CACHE_ANSWERS: &str = "vip_cache_answers_total";
/// Counts loads of a kept value from its source, by `cache` and `outcome` (ok, failed, timed_out, panicked, closed).
pub const METRIC_CACHE_LOADS: &str = "vip_cache_loads_total";
/// Counts calls of the cache that processes share, by `cache`, `call` (get, put, invalidate) and `outcome` (hit, stale, miss,
/// ok, failed).
pub const METRIC_CACHE_SHARED_CALLS: &str = "vip_cache_shared_calls_total";
/// Counts requests by `route`, `method` and `status`.
pub const METRIC_HTTP_REQUESTS: &str = "vip_http_requests_total";
/// Times requests by `route` and `method`.
pub const METRIC_HTTP_SECONDS: &str = "vip_http_request_duration_seconds";
/// Counts connections that were closed at once, by the `limit` that left no place (connections, connections_per_address).
pub const METRIC_HTTP_CONNECTIONS_REFUSED: &str = "vip_http_connections_refused_total";

/// Lists all names of spans.
pub const SPANS: &[&str] = &[SPAN_ATTEMPT, SPAN_LOOP, SPAN_REQUEST];

/// Lists all names of fields.
pub const FIELDS: &[&str] = &[
    JOB_ID,
    JOB_KIND,
    JOB_KEY,
    LEASE_EPOCH,
    ATTEMPT,
    TENANT,
    REQUEST_ID,
    TRACE_PARENT,
    OUTCOME,
    CODE,
    REASON,
    ERROR,
    COUNT,
    DURATION_MS,
    LOOP_NAME,
    LOOP_RESTARTS,
    COLUMN,
    PHASE,
    DB_FILE,
    REDIS_SETTINGS,
    SERVER_ID,
    OPERATION_ID,
    ACCOUNT_ID,
    TOKEN_DIGEST,
    BREAKER_SCOPE,
    BREAKER_LOCATION,
    BREAKER_CAUSE,
    BREAKER_OPEN_MS,
    BREAKER_MODE,
    PROVIDER_CALL,
    PROVIDER_CORRELATION_ID,
    CACHE_KEY,
    CACHE_CALL,
    SWEEP_MODE,
    SWEEP_LISTED,
    SWEEP_RECORDED,
    SWEEP_SIGHTINGS,
    SWEEP_WOKEN,
    SWEEP_STALLED,
    SWEEP_SKIPPED,
    SWEEP_EXTRA_COST,
    TRIMMED_KEYS,
    TRIMMED_OPERATIONS,
    TRIMMED_RECORDS,
    HTTP_STATUS,
    HTTP_ROUTE,
];

/// Lists all names of metrics; none has a label with the name of a tenant.
pub const METRICS: &[&str] = &[
    METRIC_JOB_ATTEMPTS,
    METRIC_JOB_SECONDS,
    METRIC_JOB_WAIT_SECONDS,
    METRIC_JOB_FAILURES,
    METRIC_JOB_SLOW,
    METRIC_JOBS,
    METRIC_OLDEST_DUE_SECONDS,
    METRIC_PROVIDER_REQUESTS,
    METRIC_PROVIDER_REQUEST_SECONDS,
    METRIC_BREAKER_STATE,
    METRIC_BUDGET_LEFT,
    METRIC_BUDGET_WAITING,
    METRIC_SWEEP_AGE_SECONDS,
    METRIC_PARKED,
    METRIC_OLDEST_REMOVAL_SECONDS,
    METRIC_UNSEALED,
    METRIC_SIGHTINGS,
    METRIC_LOOP_RESTARTS,
    METRIC_HEALTH,
    METRIC_POOL_CONNECTIONS,
    METRIC_POOL_WAITING,
    METRIC_POOL_TIMED_OUT,
    METRIC_PROCESS_MEMORY_BYTES,
    METRIC_PROCESS_DESCRIPTORS,
    METRIC_PROCESS_TASKS,
    METRIC_CACHE_ANSWERS,
    METRIC_CACHE_LOADS,
    METRIC_CACHE_SHARED_CALLS,
    METRIC_HTTP_REQUESTS,
    METRIC_HTTP_SECONDS,
    METRIC_HTTP_CONNECTIONS_REFUSED,
];

/// Shows an error and, after a colon each, its causes: a log in JSON would show the first alone. What an error has said itself
/// of its cause is not said again.
#[must_use]
pub fn causes(error: &dyn Error) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let mut said = error.to_string();
        f.write_str(&said)?;
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            next = cause.source();
        }
        Ok(())
    })
}

/// Writes a line of the log, whatever the log does: one that cannot be written may panic, and no loop, no shutdown and no call
/// to an adapter may end with it.
pub fn tell(line: impl FnOnce()) {
    // What it panicked with is for the panic hook of the host.
    drop(catch_unwind(AssertUnwindSafe(line)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_listed_once_and_is_lower_case_with_dots() {
        let mut all: Vec<&str> = SPANS.iter().chain(FIELDS).chain(METRICS).copied().collect();
        assert!(all.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// Says its cause itself, as drivers do.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot write: {0}")]
    struct Repeats(#[source] std::io::Error);

    #[test]
    fn an_error_is_shown_with_all_its_causes() {
        let inner = std::io::Error::other("disk is full");
        let error = crate::ports::StoreError::OutcomeUnknown { source: Box::new(inner) };
        assert_eq!(causes(&error).to_string(), format!("{error}: disk is full"));
        assert_eq!(causes(&Repeats(std::io::Error::other("disk is full"))).to_string(), "cannot write: disk is full");
        assert_eq!(causes(&std::io::Error::other("alone")).to_string(), "alone");
    }
}
