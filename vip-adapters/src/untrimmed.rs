//! What becomes of an ended record that cannot be read when its details are to be forgotten: it is told, and holds up no other.

use std::fmt::{Debug, Display};

use vip_core::telemetry;

/// Most records that a round of trimming passes over because they cannot be read: a call has to end, and SQLite has one writer at
/// a time.
const MOST: i64 = 1000;

/// Collects those of one round.
#[derive(Debug)]
pub(crate) struct Untrimmed<F> {
    count: i64,
    first: Option<(String, F)>,
}

impl<F: Debug> Untrimmed<F> {
    pub(crate) const fn new() -> Self {
        Self { count: 0, first: None }
    }

    /// Passes over a record.
    pub(crate) fn pass(&mut self, id: impl Display, failure: F) {
        self.count += 1;
        self.first.get_or_insert_with(|| (id.to_string(), failure));
    }

    /// Returns how many were passed over.
    #[cfg(feature = "sqlite")]
    pub(crate) const fn count(&self) -> i64 {
        self.count
    }

    /// Says whether the round looks no further.
    pub(crate) const fn are_too_many(&self) -> bool {
        self.count > MOST
    }

    /// Tells an operator, once for all of them: a backlog is trimmed in many rounds, and each of them meets them again.
    pub(crate) fn tell(&self) {
        if let Some((id, failure)) = &self.first {
            telemetry::tell(|| {
                tracing::error!(
                    server.id = %id,
                    count = self.count,
                    error = ?failure,
                    "stored records cannot be read and are not trimmed"
                );
            });
        }
    }
}
