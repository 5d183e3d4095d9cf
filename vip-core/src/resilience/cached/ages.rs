//! How old a kept value may be.

use std::time::Duration;

use crate::ports::Randomness;

/// By how much a soft age is shortened at the most, so that processes do not load one value at one time.
const JITTER: f64 = 0.1;

/// Bounds the age of a kept value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    soft: Duration,
    hard: Duration,
}

/// Says that two ages do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the soft age must be above zero and at most the hard age, got {soft:?} and {hard:?}")]
#[non_exhaustive]
pub struct AgesError {
    /// The soft age.
    pub soft: Duration,
    /// The hard age.
    pub hard: Duration,
}

impl Ages {
    /// Suits a provider's catalog: it changes a few times a year, its stock within minutes.
    pub const CATALOG: Self = Self { soft: Duration::from_secs(600), hard: Duration::from_secs(24 * 3600) };
    /// Suits counts that only help to choose.
    pub(crate) const COUNTS: Self = Self { soft: Duration::from_secs(10), hard: Duration::from_secs(60) };

    /// Sets both ages: from `soft` on a value is served while it is loaded anew, from `hard` on it is not served.
    ///
    /// # Errors
    ///
    /// [`AgesError`] unless `0 < soft <= hard`.
    pub const fn new(soft: Duration, hard: Duration) -> Result<Self, AgesError> {
        if soft.is_zero() || soft.as_nanos() > hard.as_nanos() {
            return Err(AgesError { soft, hard });
        }
        Ok(Self { soft, hard })
    }

    /// Shortens the soft age by a random share of up to a tenth.
    pub(crate) fn jittered(self, randomness: &dyn Randomness) -> Self {
        Self { soft: self.soft.mul_f64(JITTER.mul_add(-randomness.share(), 1.0)), ..self }
    }

    /// Returns the age from which a value is loaded anew.
    #[must_use]
    pub const fn soft(&self) -> Duration {
        self.soft
    }

    /// Returns the age from which a value is not served.
    #[must_use]
    pub const fn hard(&self) -> Duration {
        self.hard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SeededRandomness;

    #[test]
    fn jitter_shortens_the_soft_age_by_up_to_a_tenth_and_leaves_the_hard_one() {
        let random = SeededRandomness::new(1);
        let drawn: Vec<Ages> = (0..200).map(|_| Ages::CATALOG.jittered(&random)).collect();
        let shares = drawn.iter().map(|ages| ages.soft().as_secs_f64() / Ages::CATALOG.soft().as_secs_f64());
        let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(least, most), share| (least.min(share), most.max(share)));
        assert!((0.9..0.91).contains(&least) && (0.99..=1.0).contains(&most), "{least} {most}");
        assert!(drawn.iter().all(|ages| ages.hard() == Ages::CATALOG.hard()));
    }

    #[test]
    fn the_soft_age_is_above_zero_and_at_most_the_hard_one() {
        let second = Duration::from_secs(1);
        assert!(Ages::new(second, second).is_ok());
        assert!(Ages::new(second + Duration::from_nanos(1), second).is_err());
        assert!(Ages::new(Duration::ZERO, second).is_err());
        for ages in [Ages::CATALOG, Ages::COUNTS] {
            assert_eq!(Ages::new(ages.soft(), ages.hard()), Ok(ages));
        }
    }
}
