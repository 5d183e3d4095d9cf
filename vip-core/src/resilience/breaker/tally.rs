//! Counts successes without a lock, exactly: one word holds how many, in which bucket, of which generation.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of the count; above it stand 32 bits of the bucket and 16 of the generation.
const COUNT_BITS: u32 = 16;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Is one word on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Tally(AtomicU64);

impl Tally {
    /// Counts one; false if the word counts another bucket or is full: take it, under the lock, first.
    pub(super) fn add(&self, generation: u32, bucket: u64) -> bool {
        let tag = tag(generation, bucket);
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let usable = word == 0 || (word & !COUNT == tag && word & COUNT < COUNT);
            if !usable {
                return false;
            }
            match self.0.compare_exchange_weak(word, (tag | word & COUNT) + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Empties it; returns the bucket and the count if they are of this generation.
    pub(super) fn take(&self, generation: u32) -> Option<(u64, u64)> {
        let word = self.0.swap(0, Ordering::AcqRel);
        let bucket = (word >> COUNT_BITS) & u64::from(u32::MAX);
        let is_current = word != 0 && word & !COUNT == tag(generation, bucket);
        is_current.then_some((bucket, word & COUNT))
    }
}

const fn tag(generation: u32, bucket: u64) -> u64 {
    ((generation as u64) << (COUNT_BITS + 32)) | ((bucket & u32::MAX as u64) << COUNT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_taken_once_and_only_by_its_generation() {
        let tally = Tally::default();
        assert!(tally.add(3, 9) && tally.add(3, 9) && !tally.add(3, 10) && !tally.add(4, 9));
        assert_eq!(tally.take(3), Some((9, 2)));
        assert_eq!(tally.take(3), None);
        assert!(tally.add(3, 10));
        assert_eq!(tally.take(4), None);
    }

    #[test]
    fn a_full_word_is_not_added_to() {
        let tally = Tally::default();
        assert!((0..COUNT).all(|_| tally.add(1, 1)));
        assert!(!tally.add(1, 1));
        assert_eq!(tally.take(1), Some((1, COUNT)));
    }

    #[test]
    fn two_threads_lose_no_count() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..10_000).for_each(|_| assert!(tally.add(1, 1))));
            }
        });
        assert_eq!(tally.take(1), Some((1, 20_000)));
    }
}
