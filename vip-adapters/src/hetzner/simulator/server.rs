//! The HTTP skin: serves a simulator over HTTP/1.1, cuts connections when it is told to, and joins all its tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use vip_core::telemetry;

use super::answer::Refusal;
use super::connections::Connection;
use super::control;
use super::{Outcome, Simulator};

/// Largest body that is read.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

/// A running HTTP server of a simulator. Dropping it closes everything without waiting.
#[derive(Debug)]
pub struct SimulatorServer {
    address: SocketAddr,
    simulator: Simulator,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut on purpose")]
struct CutOnPurpose;

impl Simulator {
    /// Serves the API over HTTP/1.1 at `address`, and the control interface under `/_sim` if the address is a
    /// loopback one.
    ///
    /// # Errors
    ///
    /// The error of the operating system if the address cannot be listened on.
    pub async fn serve(&self, address: SocketAddr) -> io::Result<SimulatorServer> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.start_clock();
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let accept = Accept {
            simulator: self.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            has_control: address.ip().is_loopback(),
        };
        tasks.spawn(accept.run(listener));
        Ok(SimulatorServer { address, simulator: self.clone(), tasks, stop: stop.drop_guard() })
    }
}

impl SimulatorServer {
    /// Returns the origin, such as `http://127.0.0.1:41234`. The API answers below it, with or without `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many connections are open; see [`Simulator::open_connections`].
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.simulator.open_connections()
    }

    /// Stops to accept, lets running requests end, cuts those whose answer is held back, closes all connections,
    /// and returns when no task is left.
    pub async fn shutdown(self) {
        let Self { tasks, stop, .. } = self;
        drop(stop);
        tasks.close();
        tasks.wait().await;
    }
}

/// What the accept loop needs.
struct Accept {
    simulator: Simulator,
    tasks: TaskTracker,
    stop: CancellationToken,
    has_control: bool,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let client = Arc::new(Client {
                        simulator: self.simulator.clone(),
                        connection: self.simulator.shared.connections.enter(),
                        stop: self.stop.clone(),
                        has_control: self.has_control,
                    });
                    self.tasks.spawn(serve_connection(stream, client));
                }
                // The client gave up before it was accepted, or there are no file descriptors: go on.
                Err(error) => {
                    telemetry::tell(|| tracing::warn!(%error, "a connection was not accepted"));
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

/// What one connection needs.
struct Client {
    simulator: Simulator,
    connection: Connection,
    stop: CancellationToken,
    has_control: bool,
}

async fn serve_connection(stream: TcpStream, client: Arc<Client>) {
    if let Err(error) = stream.set_nodelay(true) {
        telemetry::tell(|| tracing::debug!(%error, "answers may be held back by the operating system"));
    }
    let stop = client.stop.clone();
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { client.answer(request).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        telemetry::tell(|| tracing::debug!(%error, "a connection ended early"));
    }
}

impl Client {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, CutOnPurpose> {
        let (parts, body) = request.into_parts();
        let is_control = self.has_control && control::is_control(parts.uri.path());
        if is_control {
            self.connection.uses_control();
        } else {
            self.connection.uses_api();
        }
        let body = match Limited::new(body, BODY_LIMIT_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Ok(too_large().map(Full::new)),
            // The client went away in the middle of its request: nobody is left to answer.
            Err(error) => {
                telemetry::tell(|| tracing::debug!(%error, "a request did not arrive whole"));
                return Err(CutOnPurpose);
            }
        };
        let request = Request::from_parts(parts, body);
        if is_control {
            return Ok(self.simulator.control(&request).map(Full::new));
        }
        let reply = self.simulator.handle(self.simulator.clock_now(), request);
        if !reply.after.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(reply.after) => {}
                () = self.stop.cancelled() => return Err(CutOnPurpose),
            }
        }
        match reply.outcome {
            Outcome::Respond(response) => Ok(response.map(Full::new)),
            Outcome::Cut => Err(CutOnPurpose),
        }
    }
}

fn too_large() -> Response<Bytes> {
    let message = format!("the body is larger than {BODY_LIMIT_BYTES} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_input", message).into_response()
}
