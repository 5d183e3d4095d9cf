//! What is logged, to be read by a test.

use std::io::{Result, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};
use tracing_subscriber::fmt::MakeWriter;

/// Of a single subscriber, tracing believes that it hears every thread: a line that comes first on a thread without one is
/// then not heard on any. So there are two.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// Keeps what is logged; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Collects what is logged by this thread, from warnings up, until the guard is dropped.
    #[must_use]
    pub fn listen() -> (Self, DefaultGuard) {
        Self::listen_from(Level::WARN)
    }

    /// Collects what is logged by this thread, from a level up, until the guard is dropped.
    #[must_use]
    pub fn listen_from(level: Level) -> (Self, DefaultGuard) {
        let (_another, lines) = (&*ANOTHER, Self::default());
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        let guard = tracing::subscriber::set_default(subscriber.with_writer(lines.clone()).finish());
        (lines, guard)
    }

    /// Returns everything so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Says how often a text was logged.
    #[must_use]
    pub fn told(&self, text: &str) -> usize {
        self.text().lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
