//! Hetzner Cloud: the provider adapter, and a simulator of its API.
//!
//! [`HetznerClient`] sends each request once. It follows no redirect, uses no proxy unless told to, and says `Unknown`
//! whenever it cannot prove that a mutation was not applied. A server that cannot be read is never taken for one that is not there.

mod answer;
mod apart;
mod call;
mod config;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http_transport;
mod lists;
mod mapping;
mod provider_client;
mod rate;
mod refusals;
mod request;
#[cfg(feature = "hetzner-simulator")]
pub mod simulator;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use secrecy::ExposeSecret;
use vip_core::model::TokenDigest;
use vip_core::ports::{ProviderError, RequestContext};
use vip_core::telemetry;

pub use config::{
    BASE_URL_BYTES, CONNECT_TIMEOUT_MOST, DEFAULT_BASE_URL, ENDPOINT_VARIABLE, HetznerConfig, TOKEN_BYTES,
    TOKEN_VARIABLE, USER_AGENT_BYTES,
};
pub use error::HetznerConfigError;

use apart::Apart;
use call::Call;
use error::CallError;
use http_transport::HttpTransport;
use rate::Rate;
use request::Requests;
use transport::Transport;

/// Carries the trace context (W3C).
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Talks to one project at Hetzner Cloud. Clones share their connections.
///
/// # Examples
///
/// ```
/// use vip_adapters::hetzner::HetznerClient;
///
/// let client = HetznerClient::at("http://127.0.0.1:8080/v1", "a-token")?;
/// assert!(!format!("{client:?}").contains("a-token"));
/// # Ok::<(), vip_adapters::hetzner::HetznerConfigError>(())
/// ```
#[derive(Clone)]
pub struct HetznerClient {
    transport: Arc<dyn Transport>,
    requests: Requests,
    token_digest: TokenDigest,
    rate: Arc<Rate>,
    apart: Arc<Apart>,
    apart_actions: Arc<Apart>,
}

impl HetznerClient {
    /// Makes a client; sends nothing.
    ///
    /// # Errors
    ///
    /// [`HetznerConfigError`] if a field breaks its rule, or if no HTTP client can be made.
    pub fn new(config: HetznerConfig) -> Result<Self, HetznerConfigError> {
        let reach = config.check()?;
        let transport = Arc::new(HttpTransport::new(&config, reach)?);
        Self::with_transport(transport, &config)
    }

    /// Makes a client from `HCLOUD_TOKEN` and, if it is set, `HCLOUD_ENDPOINT`.
    ///
    /// # Errors
    ///
    /// As [`HetznerConfig::from_env`] and [`HetznerClient::new`].
    pub fn from_env() -> Result<Self, HetznerConfigError> {
        Self::new(HetznerConfig::from_env()?)
    }

    /// Makes a client for an API elsewhere, such as a simulator.
    ///
    /// # Errors
    ///
    /// As [`HetznerClient::new`].
    pub fn at(base_url: impl Into<String>, token: impl Into<String>) -> Result<Self, HetznerConfigError> {
        let mut config = HetznerConfig::new(token);
        config.base_url = base_url.into();
        Self::new(config)
    }

    /// Makes a client with a simulated Hetzner Cloud inside: no account, no socket, and no server that costs money.
    ///
    /// It runs on tokio's clock, so a test may pause it. Use [`HetznerClient::in_process`] to keep the simulator at
    /// hand, with its faults and its ledger.
    ///
    /// # Errors
    ///
    /// [`HetznerConfigError`] never in practice: the built-in settings are valid.
    #[cfg(feature = "hetzner-simulator")]
    pub fn simulated() -> Result<Self, HetznerConfigError> {
        let create_time = std::time::Duration::from_secs(1);
        Self::in_process(&simulator::Simulator::builder().create_time(create_time).build(), simulator::DEFAULT_TOKEN)
    }

    /// Makes a client of a simulator in this process, with one of its tokens.
    ///
    /// # Errors
    ///
    /// [`HetznerConfigError`] if the token is not well formed.
    #[cfg(feature = "hetzner-simulator")]
    pub fn in_process(simulator: &simulator::Simulator, token: impl Into<String>) -> Result<Self, HetznerConfigError> {
        Self::over(Arc::new(simulator.transport()), token)
    }

    /// Makes a client over another transport.
    #[cfg(any(test, feature = "hetzner-simulator"))]
    pub(crate) fn over(transport: Arc<dyn Transport>, token: impl Into<String>) -> Result<Self, HetznerConfigError> {
        let config = HetznerConfig::new(token);
        config.check()?;
        Self::with_transport(transport, &config)
    }

    fn with_transport(transport: Arc<dyn Transport>, config: &HetznerConfig) -> Result<Self, HetznerConfigError> {
        let requests = Requests::new(config.base(), &config.token, &config.user_agent)
            .map_err(|error| HetznerConfigError::Client(error.into()))?;
        let token_digest = digest(config);
        let (apart, apart_actions) = (Arc::default(), Arc::default());
        Ok(Self { transport, requests, token_digest, rate: Arc::default(), apart, apart_actions })
    }

    async fn send(&self, mut request: Request<Bytes>, context: &RequestContext) -> Result<Response<Bytes>, CallError> {
        if let Some(trace_parent) = &context.trace_parent {
            let value =
                HeaderValue::from_str(trace_parent.as_str()).map_err(|error| CallError::Unsendable(error.into()))?;
            request.headers_mut().insert(TRACE_PARENT, value);
        }
        let response = self.transport.send(request).await?;
        self.rate.saw(response.headers());
        Ok(response)
    }

    /// Does a call within its deadline, which is for all of its requests together, and writes down how it ended.
    async fn within<T>(
        &self,
        call: Call,
        context: &RequestContext,
        work: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, ProviderError> {
        let started = tokio::time::Instant::now();
        let result = if context.deadline.is_zero() {
            Err(CallError::OutOfTime)
        } else {
            // A request that is cut off here may have been sent, and what was sent may be applied.
            tokio::time::timeout(context.deadline, work).await.unwrap_or(Err(CallError::DeadlinePassed))
        };
        let result = result.map_err(ProviderError::from);
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let request_id = context.request_id.as_ref().map(|id| id.as_str());
        let failure = result.as_ref().err();
        telemetry::tell(|| {
            tracing::debug!(
                provider.call = call.as_str(),
                provider.correlation_id = failure.and_then(|error| error.correlation_id.as_deref()),
                outcome = failure.map_or("ok", |error| error.kind.as_str()),
                code = failure.map(|error| error.code.as_str()),
                request_id,
                duration_ms,
                "provider called"
            );
        });
        result
    }
}

/// Digests the token, and the address where it is not the usual one: who asks elsewhere, or by a path that the API does not have,
/// is checked anew before anything that it says is believed. There a 404 could mean that no server is anywhere.
fn digest(config: &HetznerConfig) -> TokenDigest {
    let token = config.token.expose_secret();
    match config.elsewhere() {
        None => TokenDigest::of(token),
        Some(place) => TokenDigest::of(&format!("{token} at {place}")),
    }
}

impl fmt::Debug for HetznerClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HetznerClient")
            .field("requests", &self.requests)
            .field("transport", &self.transport)
            .field("token_digest", &self.token_digest)
            .finish()
    }
}
