//! What our sessions are told: time-outs, ways through tables that are never right, and that a commit waits for the disk.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::config::{BoundedLoss, Pooler, PostgresConfig};
use super::error::OpenError;
use super::lanes::Lane;
use super::migration::{MIGRATION_MOST, connect_error};

/// Statements that a connection keeps prepared; there are fewer than this in all.
const STATEMENTS: usize = 128;
/// Longest wait for a row, such as a key, of an order with which others go along: whoever is held up then tries by itself. For a
/// counter it does not wait at all (`HeldOrders` do, as long as any commit).
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
fn without(plans: &'static [&'static str]) -> impl Iterator<Item = (&'static str, String)> {
    plans.iter().map(|plan| (*plan, "off".to_owned()))
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
        let more: &'static [&'static str] = if lane == Lane::Work { &[] } else { &CLAIM_PLANS };
        for (plan, off) in without(&PLANS).chain(without(more)) {
            text.push_str(&format!(" SET LOCAL {plan} = {off};"));
        }
    }
    text.push_str(" SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now");
    text
}

/// Shortens the wait for locks in how a transaction begins.
pub(super) fn hurried(begin: &str, config: &PostgresConfig) -> String {
    with_lock_wait(begin, &order_lock_wait(config))
}

/// The same for orders that wait for counters, one after the other: the server gives up before their commit would be cut, and so keeps none.
pub(super) fn waiting(begin: &str, config: &PostgresConfig) -> String {
    let all = early(config.call_deadline);
    let wait = format!("{}; SET LOCAL statement_timeout = {}", millis(config.lock_wait.min(all)), millis(all));
    with_lock_wait(begin, &wait)
}

/// Returns the time of a try that others can do without: a quarter of that of a call.
pub(super) fn early(call_deadline: Duration) -> Duration {
    call_deadline / 4
}

fn with_lock_wait(begin: &str, wait: &str) -> String {
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
    options.statement_cache_capacity(STATEMENTS).options(told(lane, config))
}

/// Returns what the sessions of a lane are told, as the server names and shows it; of two the later one counts.
fn told(lane: Lane, config: &PostgresConfig) -> Vec<(&'static str, String)> {
    let mut told: Vec<(&'static str, String)> = time_outs(config).into_iter().chain(without(&PLANS)).collect();
    told.push(("default_transaction_isolation", "read committed".to_owned()));
    // A statement that is a commit by itself says no READ WRITE: orders would be taken, and no job of theirs claimed.
    told.push(("default_transaction_read_only", "off".to_owned()));
    if let Some(found) = &config.synchronous_commit {
        // As it was when the backend was opened: role, database and server may be told otherwise while it runs.
        told.push(("synchronous_commit", found.clone()));
    }
    match lane {
        Lane::Work => {}
        Lane::Claim | Lane::Lease => told.extend(without(&CLAIM_PLANS)),
        Lane::Order => {
            told.extend(without(&CLAIM_PLANS));
            told.push(("lock_timeout", order_lock_wait(config)));
        }
    }
    told
}

/// Looks whether a session of ours has what it was told: a pooler may leave it out and say nothing, and then no statement and
/// no wait for a row would end in time. Behind one that we know of each transaction is told by itself.
pub(super) async fn check_session(options: &PgConnectOptions, config: &PostgresConfig) -> Result<(), OpenError> {
    if config.pooler == Pooler::Transaction {
        return Ok(());
    }
    // Told nothing twice, and all that others are.
    let lane = Lane::Claim;
    let (session, told) = (options_of(lane, options, config), told(lane, config));
    let shown = timeout(MIGRATION_MOST, shown(&session, &told)).await;
    let shown = shown.map_err(|elapsed| OpenError::Connect { source: Box::new(elapsed) })?.map_err(connect_error)?;
    for (setting, asked) in told {
        let found = shown.get(setting).cloned().unwrap_or_default();
        if found != asked {
            return Err(OpenError::Session { setting, asked, found });
        }
    }
    Ok(())
}

/// Returns settings as a new session has them.
async fn shown(
    session: &PgConnectOptions,
    told: &[(&'static str, String)],
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    // Times are milliseconds there, as they are told; SHOW would pick a unit. The names are ours.
    let text = format!("SELECT name, setting FROM pg_settings WHERE name IN ('{}')", names.join("', '"));
    let mut connection = session.connect().await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await?;
    connection.close().await?;
    let mut shown = BTreeMap::new();
    for row in &rows {
        shown.insert(row.try_get::<String, _>("name")?, row.try_get::<String, _>("setting")?);
    }
    Ok(shown)
}

fn order_lock_wait(config: &PostgresConfig) -> String {
    millis(ORDER_LOCK_WAIT.min(config.lock_wait).min(config.call_deadline))
}
