//! What Prometheus reads: counters of the core as they are, and gauges that are read when somebody asks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use vip_core::Provisioner;
use vip_core::model::{AccountId, SightingClass};
use vip_core::ports::{PoolFigures, QueueStats, StoreStats};
use vip_core::provisioner::Operator;
use vip_core::resilience::BreakerState;
use vip_core::runtime::HealthStatus;
use vip_core::telemetry;

use crate::api::ApiState;
use crate::auth::OperatorCaller;
use crate::problem::{Problem, ProblemCode};
use crate::process::ProcessCost;

/// Longest wait for the counts of the queue, and for those of the store. Whoever scrapes waits for ten seconds or less, and wants to
/// read that the database is silent.
const COUNTS_WAIT: Duration = Duration::from_secs(2);

/// Writes all metrics in the text format of Prometheus; comes from the exporter that the host has installed.
#[derive(Clone)]
pub(crate) struct Render(pub(crate) Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Render {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Render")
    }
}

/// Returns the route; without an exporter there is nothing to read.
pub(crate) fn routes() -> Router<ApiState> {
    Router::new().route("/metrics", get(read))
}

async fn read(_caller: OperatorCaller, State(state): State<ApiState>) -> Result<Response, Problem> {
    let Some(render) = &state.metrics else {
        return Err(Problem::new(ProblemCode::NotFound).with_detail("This process exports no metrics."));
    };
    refresh_metrics(&state.provisioner).await;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, (render.0)()).into_response())
}

/// Sets the gauges: states, which are read when somebody asks, and not when they change. What cannot be read within two seconds
/// keeps its last value, and health says why. Ends within three seconds.
///
/// `/metrics` of [`Api::metrics`](crate::Api::metrics) does it by itself; a host with a route of its own calls it before it renders.
pub async fn refresh_metrics(provisioner: &Provisioner) {
    let operator = provisioner.operator();
    // All at once: a database that is silent is silent to each of them.
    let (queue, store, health) = tokio::join!(
        tokio::time::timeout(COUNTS_WAIT, operator.queue_stats()),
        tokio::time::timeout(COUNTS_WAIT, operator.store_stats()),
        provisioner.health(),
    );
    match queue {
        Ok(Ok(stats)) => of_queue(&stats),
        Ok(Err(error)) => {
            telemetry::tell(|| tracing::debug!(error = %telemetry::causes(&error), "the queue was not counted"))
        }
        Err(elapsed) => telemetry::tell(|| tracing::debug!(error = %elapsed, "the queue was not counted")),
    }
    match store {
        Ok(Ok(stats)) => of_store(&stats),
        Ok(Err(error)) => {
            telemetry::tell(|| tracing::debug!(error = %telemetry::causes(&error), "the store was not counted"))
        }
        Err(elapsed) => telemetry::tell(|| tracing::debug!(error = %elapsed, "the store was not counted")),
    }
    for account in operator.accounts() {
        of_account(&operator, &account);
    }
    for status in provisioner.loops() {
        metrics::gauge!(telemetry::METRIC_LOOP_RESTARTS, "loop" => status.name.to_string())
            .set(number(u64::from(status.restarts)));
    }
    provisioner.pool_figures().iter().for_each(of_pool);
    let cost = ProcessCost::now();
    metrics::gauge!(telemetry::METRIC_PROCESS_TASKS).set(number(u64::try_from(cost.tasks).unwrap_or(u64::MAX)));
    if let Some(bytes) = cost.memory_bytes {
        metrics::gauge!(telemetry::METRIC_PROCESS_MEMORY_BYTES).set(number(bytes));
    }
    if let Some(count) = cost.descriptors {
        metrics::gauge!(telemetry::METRIC_PROCESS_DESCRIPTORS).set(number(count));
    }
    metrics::gauge!(telemetry::METRIC_HEALTH).set(match health.status() {
        HealthStatus::Ok => 0.0,
        HealthStatus::Degraded => 1.0,
        HealthStatus::Down => 2.0,
    });
}

fn of_queue(stats: &QueueStats) {
    let states = [("due", stats.due), ("later", stats.later), ("leased", stats.leased), ("dead", stats.dead)];
    for (state, count) in states {
        metrics::gauge!(telemetry::METRIC_JOBS, "state" => state).set(number(count));
    }
    let oldest = stats.oldest_due.map_or(0.0, |age| age.as_secs_f64());
    metrics::gauge!(telemetry::METRIC_OLDEST_DUE_SECONDS).set(oldest);
}

fn of_store(stats: &StoreStats) {
    metrics::gauge!(telemetry::METRIC_PARKED).set(number(stats.parked));
    let oldest = stats.oldest_removal.map_or(0.0, |age| age.as_secs_f64());
    metrics::gauge!(telemetry::METRIC_OLDEST_REMOVAL_SECONDS).set(oldest);
    metrics::gauge!(telemetry::METRIC_UNSEALED).set(number(stats.unsealed));
    // A class that is seen no more is told, too: its last value would stay for ever.
    for class in SightingClass::ALL {
        let count = stats.sightings.get(&class).copied().unwrap_or(0);
        metrics::gauge!(telemetry::METRIC_SIGHTINGS, "class" => class.as_str()).set(number(count));
    }
}

fn of_pool(figures: &PoolFigures) {
    let states = [("open", figures.open), ("idle", figures.idle), ("most", figures.most)];
    for (state, count) in states {
        let labels = [("purpose", figures.purpose), ("state", state)];
        metrics::gauge!(telemetry::METRIC_POOL_CONNECTIONS, &labels).set(f64::from(count));
    }
    metrics::gauge!(telemetry::METRIC_POOL_WAITING, "purpose" => figures.purpose).set(number(figures.waiting));
    metrics::gauge!(telemetry::METRIC_POOL_TIMED_OUT, "purpose" => figures.purpose).set(number(figures.timed_out));
}

fn of_account(operator: &Operator, account: &AccountId) {
    let name = || account.as_str().to_owned();
    if let Ok(view) = operator.breaker(account) {
        let state = match view.state {
            BreakerState::Closed => 0.0,
            BreakerState::Easing { .. } => 1.0,
            BreakerState::Probing { .. } => 2.0,
            BreakerState::Open { .. } => 3.0,
        };
        metrics::gauge!(telemetry::METRIC_BREAKER_STATE, "account" => name()).set(state);
    }
    if let Ok(view) = operator.budget(account) {
        let waiting = u64::try_from(view.waiting).unwrap_or(u64::MAX);
        metrics::gauge!(telemetry::METRIC_BUDGET_WAITING, "account" => name()).set(number(waiting));
        if let Some(left) = view.left {
            metrics::gauge!(telemetry::METRIC_BUDGET_LEFT, "account" => name()).set(f64::from(left));
        }
    }
    if let Some(age) = operator.last_sweep_age(account) {
        metrics::gauge!(telemetry::METRIC_SWEEP_AGE_SECONDS, "account" => name()).set(age.as_secs_f64());
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; beyond 2^53 nobody counts one by one")]
const fn number(count: u64) -> f64 {
    count as f64
}
