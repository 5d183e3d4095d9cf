//! A server of our own: an accept loop with limits of time and number that `axum::serve` does not have.

mod addresses;
mod backlog;
mod connection;
mod descriptors;
mod failures;
mod head;
mod settings;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vip_core::telemetry;

pub use settings::ServerSettings;

use addresses::Addresses;
use connection::Connection;
use failures::{Failures, Refusals};

/// Pause after an accept that failed, as it does when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Is the address that a request came from; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Serves a router over HTTP/1.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    settings: ServerSettings,
}

/// Says what a server did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct ServeReport {
    /// Connections that were taken.
    pub accepted: u64,
    /// Connections that were closed at once: too many were open.
    pub refused: u64,
    /// Requests that were handed to the router.
    pub requests: u64,
    /// Connections that were closed because a limit of time was over.
    pub timed_out: u64,
    /// Connections that were cut at the end of the shutdown.
    pub cut: u64,
}

/// Counts what becomes the report.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) cut: AtomicU64,
}

impl Server {
    /// Listens. Takes fewer connections than it was told to if the process may not open enough files, and says so in the log.
    ///
    /// # Errors
    ///
    /// What the system says, if the address cannot be used.
    pub async fn bind(address: SocketAddr, settings: ServerSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let mut settings = settings.bounded();
        settings.connections = descriptors::fitting(settings.connections);
        Ok(Self { listener, settings })
    }

    /// Returns where it listens.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled; then takes no new connection, ends idle ones a moment later, lets requests finish
    /// up to `deadline`, and cuts what is left.
    pub async fn serve(self, router: Router, stop: CancellationToken, deadline: Duration) -> ServeReport {
        let cut = CancellationToken::new();
        let mut taking = Taking {
            router,
            settings: Arc::new(self.settings.clone()),
            counts: Arc::new(Counts::default()),
            addresses: Addresses::new(&self.settings),
            refusals: Refusals::default(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        let mut failures = Failures::default();
        loop {
            tokio::select! {
                taken = self.listener.accept() => match taken {
                    Ok((stream, peer)) => taking.take(stream, peer),
                    Err(error) => {
                        failures.tell(&error);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = taking.take_rest(self.listener) {
            telemetry::tell(|| {
                tracing::warn!(
                    { telemetry::ERROR } = %telemetry::causes(&error),
                    "the last connections were not taken"
                );
            });
        }
        taking.tasks.close();
        if tokio::time::timeout(deadline, taking.tasks.wait()).await.is_err() {
            cut.cancel();
            taking.tasks.wait().await;
        }
        taking.counts.report()
    }
}

/// Is what a server needs to take connections.
struct Taking {
    router: Router,
    settings: Arc<ServerSettings>,
    counts: Arc<Counts>,
    addresses: Addresses,
    refusals: Refusals,
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Taking {
    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let place = match self.addresses.place(peer.ip()) {
            Ok(place) => place,
            Err(full) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                self.refusals.tell(full);
                drop(stream);
                return;
            }
        };
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        without_delay(&stream);
        let connection = Connection {
            router: self.router.clone(),
            settings: self.settings.clone(),
            counts: self.counts.clone(),
            peer: PeerAddress(peer),
            stop: self.stop.clone(),
            cut: self.cut.clone(),
        };
        self.tasks.spawn(connection.run(stream, place));
    }

    /// Takes what the system has accepted for us already, which would otherwise be reset with requests in it; then
    /// listens no more.
    fn take_rest(&mut self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        let accept = || -> io::Result<(TcpStream, SocketAddr)> {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            Ok((TcpStream::from_std(stream)?, peer))
        };
        backlog::take_waiting(self.settings.connections, accept, |(stream, peer)| self.take(stream, peer))
    }
}

/// Answers are small: none shall wait for a second packet.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        telemetry::tell(|| {
            tracing::debug!({ telemetry::ERROR } = %telemetry::causes(&error), "the connection is gone already");
        });
    }
}

impl Counts {
    fn report(&self) -> ServeReport {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServeReport {
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            requests: count(&self.requests),
            timed_out: count(&self.timed_out),
            cut: count(&self.cut),
        }
    }
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod rest_tests;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod unproven_tests;
