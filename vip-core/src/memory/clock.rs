//! Clocks for tests and simulations: one that moves when told, one that follows tokio's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Timestamp;
use crate::ports::Clock;

/// Stands still until it is moved; may be moved backwards too.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at a time.
    #[must_use]
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_micros()))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Jumps to a time.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Moves with tokio's clock from a chosen time on: under the paused clock hours pass at once.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    start: Timestamp,
    origin: Instant,
}

impl VirtualClock {
    /// Starts at a time, now.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { start, origin: Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.start.plus(self.origin.elapsed())
    }
}

/// Moves with tokio's clock, and may be ahead of it for a while.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ShiftedClock {
    clock: VirtualClock,
    ahead_micros: AtomicI64,
}

#[cfg(test)]
impl ShiftedClock {
    /// Starts at a time, now.
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { clock: VirtualClock::new(start), ahead_micros: AtomicI64::new(0) }
    }

    /// Sets it ahead by so much; right again by zero.
    pub(crate) fn set_ahead(&self, by: Duration) {
        self.ahead_micros.store(Timestamp::default().plus(by).as_micros(), Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_micros.load(Ordering::SeqCst);
        Timestamp::from_micros(self.clock.now().as_micros() + ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(Timestamp::from_micros(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_micros(2));
        assert_eq!(clock.now().as_micros(), 7);
        clock.set(Timestamp::from_micros(1));
        assert_eq!(clock.now().as_micros(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_follows_the_paused_clock() {
        let clock = VirtualClock::new(Timestamp::from_micros(100));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), Timestamp::from_micros(100).plus(Duration::from_secs(3600)));
    }
}
