//! The API as a router: what it is made of, and how a host mounts it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use vip_core::Provisioner;

use crate::auth::Authenticator;
use crate::cursor::Cursors;
use crate::edge::{self, Edge, HandlerLimit};
use crate::health::KeptReports;
use crate::metrics::Render;
use crate::places::WaitingPlaces;
use crate::problem::{Problem, ProblemCode};
use crate::rate::{RateLimits, Rates};
use crate::routes;

/// Is what handlers share; extractors of a host's own routes take it from the host's state.
#[derive(Clone)]
pub struct ApiState {
    pub(crate) provisioner: Provisioner,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) cursors: Cursors,
    pub(crate) places: Arc<WaitingPlaces>,
    pub(crate) draining: CancellationToken,
    pub(crate) reports: Arc<KeptReports>,
    pub(crate) base_path: Arc<str>,
    pub(crate) metrics: Option<Render>,
    pub(crate) rates: Rates,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiState").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

/// Says why there is no API.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The system gives no random bytes for the key of the cursors.
    #[error("the system has no randomness")]
    NoRandomness {
        /// What happened beneath.
        #[source]
        source: getrandom::Error,
    },
}

/// Hosts a product over HTTP.
///
/// # Examples
///
/// ```
/// use vip_core::memory::{MemoryProvider, memory_backend};
/// use vip_core::model::TenantId;
/// use vip_http::{Api, ApiKeys, NewApiKey, Scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provisioner =
///     vip_core::Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).start().await?;
/// let panel = NewApiKey::generate("panel", Some(TenantId::new("acme")?), [Scope::TenantRead, Scope::TenantWrite])?;
/// let api = Api::new(&provisioner, ApiKeys::new([panel.entry])?)?;
/// let app: axum::Router = axum::Router::new().merge(api.router());
/// # drop(app);
/// # provisioner.shutdown(std::time::Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Api {
    state: ApiState,
    limit: HandlerLimit,
}

impl Api {
    /// Makes an API for a product and whoever may use it.
    ///
    /// # Errors
    ///
    /// [`ApiError`] if the system gives no random bytes.
    pub fn new(provisioner: &Provisioner, authenticator: impl Authenticator) -> Result<Self, ApiError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|source| ApiError::NoRandomness { source })?;
        let state = ApiState {
            provisioner: provisioner.clone(),
            authenticator: Arc::new(authenticator),
            cursors: Cursors::new(secret),
            places: Arc::new(WaitingPlaces::default()),
            draining: CancellationToken::new(),
            reports: Arc::new(KeptReports::default()),
            base_path: Arc::from(""),
            metrics: None,
            rates: Rates::default(),
        };
        Ok(Self { state, limit: HandlerLimit::USUAL })
    }

    /// Sets the key that cursors are sealed with. All processes behind one address need the same one; without it each
    /// makes its own, and a list that goes on at another process, or after a restart, begins anew.
    pub const fn cursor_secret(mut self, secret: [u8; 32]) -> Self {
        self.state.cursors = Cursors::new(secret);
        self
    }

    /// Sets where a host mounts the router, such as `/infra`, for `Location`. Default: at the root.
    pub fn base_path(mut self, path: &str) -> Self {
        self.state.base_path = Arc::from(path.trim_end_matches('/'));
        self
    }

    /// Sets how long a handler may take, waiting on purpose and for the provider, a replay of dead jobs, and the verification of an
    /// audit not counted. Default 10 s; beyond it the answer is 503.
    pub const fn handler_limit(mut self, limit: Duration) -> Self {
        self.limit = HandlerLimit(limit);
        self
    }

    /// Limits the requests of each tenant and of each caller; whoever sends more is answered 429. Default: no limit. Each
    /// process counts what it serves itself: behind one address, all of them together allow as many times as much.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.state.rates = Rates::new(limits);
        self
    }

    /// Serves `/metrics` to operators: `render` writes what the exporter that the host has installed knows.
    ///
    /// An exporter may keep each measured time by itself until its upkeep: run that in `render`, and in a loop beside it, or memory grows
    /// for as long as nobody asks. `docs/metrics.md` shows both.
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.state.metrics = Some(Render(Arc::new(render)));
        self
    }

    /// Returns the routes, to mount into an application of the host's own.
    pub fn router(&self) -> Router {
        let (router, _parts) = routes::all().split_for_parts();
        router
            .merge(crate::health::routes())
            .merge(crate::openapi::routes())
            .merge(crate::metrics::routes())
            .method_not_allowed_fallback(|| async { Problem::new(ProblemCode::MethodNotAllowed) })
            .layer(middleware::from_fn_with_state(self.edge(), edge::around))
            .with_state(self.state.clone())
    }

    /// Returns what a process without the API shows of itself, as a whole application: probes, `/healthz`, `/metrics`.
    pub fn operations(&self) -> Router {
        let routes = crate::health::routes()
            .route("/healthz", get(crate::health::health))
            .merge(crate::metrics::routes())
            .layer(middleware::from_fn_with_state(self.edge(), edge::around))
            .with_state(self.state.clone());
        self.whole(routes)
    }

    /// Returns the routes as a whole application: what is not there is answered with a problem, too.
    pub fn application(&self) -> Router {
        self.whole(self.router())
    }

    fn edge(&self) -> Edge {
        Edge { limit: self.limit, draining: self.state.draining.clone() }
    }

    fn whole(&self, routes: Router) -> Router {
        let nothing = || async { Problem::new(ProblemCode::NotFound) };
        let outside = Router::new().fallback(nothing);
        let outside = outside.layer(middleware::from_fn_with_state(self.edge(), edge::around));
        routes.fallback_service(outside)
    }

    /// Returns what extractors of this crate need, for a host's own routes.
    #[must_use]
    pub fn state(&self) -> ApiState {
        self.state.clone()
    }

    /// Ends what waits on purpose, and makes the process not ready: the first step of a shutdown.
    pub fn drain(&self) {
        self.state.provisioner.drain();
        self.state.draining.cancel();
    }

    /// Returns the description of all routes (OpenAPI 3.1).
    #[must_use]
    pub fn description() -> utoipa::openapi::OpenApi {
        crate::openapi::describe(routes::all())
    }
}
