//! Mounts the API into an axum application of your own, with callers that your application knows.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vip_adapters::hetzner::HetznerClient;
use vip_core::Provisioner;
use vip_core::model::TenantId;
use vip_http::auth::{TenantReader, bearer};
use vip_http::axum::extract::FromRef;
use vip_http::axum::http::HeaderMap;
use vip_http::axum::routing::get;
use vip_http::axum::{Router, serve};
use vip_http::{Api, ApiState, AuthError, Authenticator, Identity, Scope};

/// How long answers, and afterwards attempts, may take to finish once the application was told to end.
const DRAIN: Duration = Duration::from_secs(30);

/// Knows the sessions of the application; here there is one.
#[derive(Debug)]
struct Sessions;

#[async_trait::async_trait]
impl Authenticator for Sessions {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        // Where your application looks its session up, and compares in constant time.
        if bearer(headers)? != "session-of-alice" {
            return Err(AuthError::refused("unknown_session"));
        }
        let tenant = TenantId::new("acme").map_err(|error| AuthError::Unavailable { source: error.into() })?;
        Identity::new("alice", Some(tenant), [Scope::TenantRead, Scope::TenantWrite])
            .map_err(|error| AuthError::Unavailable { source: error.into() })
    }
}

/// Is the state of the application; extractors of the API take their part of it.
#[derive(Clone)]
struct AppState {
    api: ApiState,
}

impl FromRef<AppState> for ApiState {
    fn from_ref(state: &AppState) -> Self {
        state.api.clone()
    }
}

/// Is a handler of the application: without an identity of that scope it does not run.
async fn who_am_i(reader: TenantReader) -> String {
    format!("{} of {}\n", reader.identity.subject(), reader.tenant_id)
}

/// Serves until everybody was answered; a client that stands still is cut after a while, or it would keep the program for ever.
async fn drained(stop: &CancellationToken, serving: impl Future<Output = io::Result<()>> + Send) -> io::Result<()> {
    let cut = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served,
        () = cut => Ok(()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let backend = vip_adapters::connect(&format!("sqlite://{}", folder.path().join("vip.db").display())).await?;
    let provisioner = Provisioner::builder(backend).provider(HetznerClient::simulated()?).start().await?;
    let api = Api::new(&provisioner, Sessions)?.base_path("/infra");
    let own = Router::new().route("/me", get(who_am_i)).with_state(AppState { api: api.state() });
    let app = own.nest("/infra", api.router());

    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    println!("curl http://{address}/me -H 'Authorization: Bearer session-of-alice'");
    println!("curl http://{address}/infra/v1/servers -H 'Authorization: Bearer session-of-alice'");
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let serving = serve(listener, app).with_graceful_shutdown(async move { stopped.cancelled().await });
    let mut terminate = signal(SignalKind::terminate())?;
    let ending = async {
        let told = tokio::select! {
            told = tokio::signal::ctrl_c() => told,
            _ = terminate.recv() => Ok(()),
            // A loop that cannot be kept up: whoever started this process has to start it again.
            why = provisioner.failed() => Err(io::Error::other(why)),
        };
        api.drain();
        stop.cancel();
        told
    };
    let (served, told) = tokio::join!(drained(&stop, async { serving.await }), ending);
    println!("{}", provisioner.shutdown(DRAIN).await);
    Ok(served.and(told)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stands_still_is_cut_after_the_stop_and_not_before() {
        let (stop, began) = (CancellationToken::new(), tokio::time::Instant::now());
        let serving = drained(&stop, std::future::pending());
        tokio::pin!(serving);
        tokio::time::timeout(DRAIN * 3, &mut serving).await.unwrap_err();
        stop.cancel();
        serving.await.unwrap();
        assert!((DRAIN * 4..DRAIN * 5).contains(&began.elapsed()));
    }
}
