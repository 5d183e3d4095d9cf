//! Time and randomness, injected: the core reads neither by itself.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use crate::model::Timestamp;

/// Tells the time of day. Durations are measured with tokio's clock, which tests can pause.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// Is the clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970. What was written before that then lies so far ahead that it counts as now
        // (`Timing::is_beyond`), as after any clock that was far ahead: nothing freezes. A create that was in the air may be judged lost
        // when the clock is set right; the sweep then finds its server.
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// Gives random numbers.
pub trait Randomness: fmt::Debug + Send + Sync + 'static {
    /// Returns 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Is the randomness of the operating system, by way of random UUIDs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn next_u64(&self) -> u64 {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // A version-4 UUID has six fixed bits; mixing both halves leaves 61 random ones in each position.
        high.rotate_left(32) ^ low
    }
}

/// Is a repeatable sequence, for tests and simulations.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<fastrand::Rng>);

impl SeededRandomness {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Randomness for SeededRandomness {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).u64(..)
    }
}

/// Makes ids and jitter out of a source of randomness. For a draw that panics, as that of a host may, the operating system's takes
/// its place: loops and leases must not end with it.
impl dyn Randomness {
    /// Returns a random UUID (version 4).
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// Returns a UUID that sorts by time (version 7).
    #[must_use]
    pub fn uuid_at(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
        let bytes = self.bytes();
        let mut random = [0; 10];
        random.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// Returns a share from 0 up to 1.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub fn share(&self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn bytes(&self) -> [u8; 16] {
        let whole = (u128::from(self.draw()) << 64) | u128::from(self.draw());
        whole.to_be_bytes()
    }

    fn draw(&self) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.next_u64())).unwrap_or_else(|_panic| SystemRandomness.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is a randomness of a host that panics.
    #[derive(Debug)]
    struct Broken;

    impl Randomness for Broken {
        fn next_u64(&self) -> u64 {
            panic!("a bug of the host")
        }
    }

    #[test]
    fn a_randomness_that_panics_gives_ids_and_shares_all_the_same() {
        let broken: &dyn Randomness = &Broken;
        let now = Timestamp::from_micros(1_000_000);
        assert!(broken.uuid() != broken.uuid() && broken.uuid_at(now) != broken.uuid_at(now));
        assert!((0.0..1.0).contains(&broken.share()));
    }

    #[test]
    fn a_seed_gives_one_sequence_and_ids_sort_by_time() {
        let (one, two): (&dyn Randomness, &dyn Randomness) = (&SeededRandomness::new(7), &SeededRandomness::new(7));
        assert_eq!(one.uuid(), two.uuid());
        let early = one.uuid_at(Timestamp::from_micros(1_000_000));
        let late = one.uuid_at(Timestamp::from_micros(2_000_000));
        assert!(early < late && early.get_version_num() == 7);
        assert!((0.0..1.0).contains(&one.share()));
    }
}
