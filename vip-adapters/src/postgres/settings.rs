//! What our sessions are told: time-outs, ways through tables that are never right, and that a commit waits for the disk.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::config::{BoundedLoss, Pooler, PostgresConfig};
use super::lanes::Lane;

/// Statements that a connection keeps prepared; there are fewer than this in all.
const STATEMENTS: usize = 128;
/// Longest wait for a row of an order with which others go along: whoever is held up then tries by itself.
const ORDER_LOCK_WAIT: Duration = Duration::from_millis(100);
/// A transaction of ours waits for nothing but the server; one that stands still is a lost process.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// Plans made for an empty table stay in use while it grows; this way through a table is never right here.
/// A way that is forbidden counts as very expensive, and what is expensive would be compiled each time: so `jit` is off, too.
const PLANS: [&str; 2] = ["enable_seqscan", "jit"];
/// The same for a few statements that take rows one by one: here no other way than the index is right, either.
const CLAIM_PLANS: [&str; 4] = ["enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"];

/// Lets a commit wait for the disk where the session does not. What waits for more, as for a standby, goes on doing so.
const DURABLE: &str =
    " SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';";

/// Says whose settings a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    Ours,
    Foreign,
}

fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

/// Returns our time-outs, in milliseconds, as the server names them.
fn time_outs(config: &PostgresConfig) -> [(&'static str, String); 3] {
    [
        ("statement_timeout", millis(config.call_deadline)),
        ("lock_timeout", millis(config.lock_wait.min(config.call_deadline))),
        ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
    ]
}

/// Forbids ways through a table.
fn without<'a>(plans: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'static str)> {
    plans.iter().map(|plan| (*plan, "off"))
}

/// Returns how a transaction begins. One way to the server and back.
pub(super) fn begin_text(config: &PostgresConfig, session: Session, lane: Lane) -> String {
    // Said here, because a role may have another default; READ WRITE finds out at once if this is a standby.
    let mut text = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;".to_owned();
    if session == Session::Foreign {
        if config.bounded_loss == BoundedLoss::Refused {
            // Whoever else uses the session may have switched it off since the server was asked.
            text.push_str(DURABLE);
        }
        for (name, millis) in time_outs(config) {
            text.push_str(&format!(" SET LOCAL {name} = {millis};"));
        }
        let more: &[&str] = if lane == Lane::Work { &[] } else { &CLAIM_PLANS };
        for (plan, off) in without(&PLANS).chain(without(more)) {
            text.push_str(&format!(" SET LOCAL {plan} = {off};"));
        }
    }
    text.push_str(" SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now");
    text
}

/// Shortens the wait for locks in how a transaction begins.
pub(super) fn hurried(begin: &str, config: &PostgresConfig) -> String {
    let wait = order_lock_wait(config);
    // Before the last statement, whose row is the time.
    begin.replace(" SELECT (", &format!(" SET LOCAL lock_timeout = {wait}; SELECT ("))
}

/// Takes away what a pooler does not let through.
pub(super) fn plain_options(options: PgConnectOptions, pooler: Pooler) -> PgConnectOptions {
    match pooler {
        Pooler::None => options,
        Pooler::Transaction => options.statement_cache_capacity(0).extra_float_digits(None),
    }
}

/// Adds what the sessions of a lane have.
pub(super) fn options_of(lane: Lane, options: &PgConnectOptions, config: &PostgresConfig) -> PgConnectOptions {
    let options = options.clone().application_name("vip").disable_statement_logging();
    if config.pooler == Pooler::Transaction {
        return options;
    }
    let mut options = options
        .statement_cache_capacity(STATEMENTS)
        .options(time_outs(config))
        .options(without(&PLANS))
        .options([("default_transaction_isolation", "read committed")])
        // A statement that is a commit by itself says no READ WRITE: orders would be taken, and no job of theirs claimed.
        .options([("default_transaction_read_only", "off")]);
    if let Some(found) = &config.synchronous_commit {
        // As it was when the backend was opened: role, database and server may be told otherwise while it runs.
        options = options.options([("synchronous_commit", found)]);
    }
    match lane {
        Lane::Work => options,
        Lane::Claim | Lane::Lease => options.options(without(&CLAIM_PLANS)),
        Lane::Order => options.options(without(&CLAIM_PLANS)).options([("lock_timeout", order_lock_wait(config))]),
    }
}

fn order_lock_wait(config: &PostgresConfig) -> String {
    millis(ORDER_LOCK_WAIT.min(config.lock_wait).min(config.call_deadline))
}
