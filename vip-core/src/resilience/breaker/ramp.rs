//! Lets creates back in after an outage: 1, 2, 4 and so on, each round after the one before went well. Pure.

/// Creates of a round after which all are let in again.
const ALL_FROM: u32 = 64;

/// Is a round of creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp {
    /// Names the round, so that a late result of an earlier one is known as such.
    pub(super) round: u32,
    size: u32,
    admitted: u32,
    good: u32,
}

impl Ramp {
    /// Begins with one create; `round` has to be new.
    pub(super) const fn starting(round: u32) -> Self {
        Self { round, size: 1, admitted: 0, good: 0 }
    }

    /// Says whether another create may go.
    pub(super) const fn has_room(&self) -> bool {
        self.admitted < self.size
    }

    /// Returns how many creates this round lets in.
    pub(super) const fn size(&self) -> u32 {
        self.size
    }

    /// Says whether no create of this round is on its way.
    pub(super) const fn is_idle(&self) -> bool {
        self.admitted == self.good
    }

    /// Takes a place.
    pub(super) const fn admit(&mut self) {
        self.admitted = self.admitted.saturating_add(1);
    }

    /// Gives a place back: its create told nothing.
    pub(super) const fn give_back(&mut self) {
        self.admitted = self.admitted.saturating_sub(1);
    }

    /// Counts a create that went well; returns the next round when all of this one did, or none after the last.
    pub(super) const fn went_well(mut self) -> Option<Self> {
        self.good = self.good.saturating_add(1);
        if self.good < self.size {
            return Some(self);
        }
        let size = self.size.saturating_mul(2);
        if size > ALL_FROM {
            return None;
        }
        Some(Self { round: self.round.wrapping_add(1), size, admitted: 0, good: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creates_come_back_in_rounds_that_double_until_all_are_let_in() {
        let (mut ramp, mut sizes) = (Some(Ramp::starting(7)), Vec::new());
        while let Some(mut round) = ramp {
            sizes.push(round.size());
            let places = (0..)
                .take_while(|_| {
                    round.has_room() && {
                        round.admit();
                        true
                    }
                })
                .count();
            assert_eq!(places, round.size() as usize);
            ramp = (0..places).try_fold(round, |it, _| it.went_well());
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again() {
        let mut ramp = Ramp::starting(1);
        ramp.admit();
        assert!(!ramp.has_room());
        ramp.give_back();
        assert!(ramp.has_room());
    }
}
