//! Accepts that fail, and connections that have no place: told when a run of them begins, not twenty times a second.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use vip_core::telemetry;

use super::addresses::Full;

/// How long no accept has failed before the next failure begins another run: while descriptors are short, an accept now and
/// then succeeds.
const QUIET: Duration = Duration::from_secs(60);

/// Remembers the last failure.
#[derive(Debug, Default)]
pub(super) struct Failures {
    last: Option<Instant>,
}

impl Failures {
    /// Tells a failure, if it is the first of a run.
    pub(super) fn tell(&mut self, error: &io::Error) {
        if self.begins(Instant::now()) {
            let error = telemetry::causes(error);
            telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %error, "accept failed; told again once none has for a minute");
            });
        }
    }

    /// Notes a failure; says whether it is the first of a run.
    fn begins(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_none_or(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

/// Remembers the last connection that had no place, for each limit by itself.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    all: Failures,
    of_address: Failures,
}

impl Refusals {
    /// Counts a connection that has no place, and tells it, if it is the first of a run.
    pub(super) fn tell(&mut self, full: Full) {
        let limit = full.as_str();
        metrics::counter!(telemetry::METRIC_HTTP_CONNECTIONS_REFUSED, "limit" => limit).increment(1);
        let run = match full {
            Full::All => &mut self.all,
            Full::OfAddress => &mut self.of_address,
        };
        if run.begins(Instant::now()) {
            telemetry::tell(|| {
                tracing::warn!(limit, "a connection has no place and is closed; told again once none was for a minute");
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use tokio_util::sync::CancellationToken;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::serve::{ACCEPT_PAUSE, Server, ServerSettings};
    use crate::unwritable::unwritable;

    /// Keeps the fields of all events.
    #[derive(Default, Clone)]
    struct Fields(Arc<Mutex<Vec<String>>>);

    impl Fields {
        fn told(&self, what: &str) -> usize {
            self.0.lock().unwrap().iter().filter(|field| field.starts_with(what)).count()
        }
    }

    impl Visit for Fields {
        fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }

    impl Subscriber for Fields {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// Makes a server on a socket that can be read, and takes no connections: each accept fails at once.
    #[cfg(unix)]
    fn failing() -> Server {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.send_to(b"something to read", socket.local_addr().unwrap()).unwrap();
        let listener = std::net::TcpListener::from(std::os::fd::OwnedFd::from(socket));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        Server { listener, settings: ServerSettings::default() }
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fails_is_told_once_and_asked_again_until_the_server_is_to_end() {
        let fields = Fields::default();
        let _heard = tracing::subscriber::set_default(fields.clone());
        let stop = CancellationToken::new();
        let end = async {
            for _ in 0..100 {
                tokio::time::timeout(ACCEPT_PAUSE, std::future::pending::<()>()).await.unwrap_err();
            }
            stop.cancel();
        };
        let (report, ()) = tokio::join!(failing().serve(Router::new(), stop.clone(), Duration::ZERO), end);
        assert_eq!((fields.told("accept failed"), report.accepted), (1, 0));
        assert_eq!(fields.told("the last connections were not taken"), 1);
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_written_ends_no_server() {
        let _log = unwritable();
        let stop = CancellationToken::new();
        let end = async {
            tokio::time::timeout(2 * ACCEPT_PAUSE, std::future::pending::<()>()).await.unwrap_err();
            stop.cancel();
        };
        let (report, ()) = tokio::join!(failing().serve(Router::new(), stop.clone(), Duration::ZERO), end);
        assert_eq!(report, crate::ServeReport::default());
        Refusals::default().tell(Full::All);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_without_a_place_are_told_once_for_each_limit() {
        let fields = Fields::default();
        let _heard = tracing::subscriber::set_default(fields.clone());
        let mut refusals = Refusals::default();
        for _ in 0..100 {
            refusals.tell(Full::All);
            refusals.tell(Full::OfAddress);
        }
        assert_eq!((fields.told("\"connections\""), fields.told("\"connections_per_address\"")), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_without_a_quiet_minute_between_them_are_told_once() {
        let (mut failures, begin, short) = (Failures::default(), Instant::now(), Duration::from_millis(1));
        assert!(failures.begins(begin));
        let mut last = begin;
        for _ in 0..100 {
            last += QUIET - short;
            assert!(!failures.begins(last));
        }
        assert!(failures.begins(last + QUIET));
    }
}
