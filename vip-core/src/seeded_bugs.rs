//! Mistakes that can be switched on, so that the simulation can prove that it would see them.
//!
//! Only a build with `--cfg vip_seeded_bugs` can switch one on; in any other build [`is_on`] is the constant `false`,
//! and this module is not public.
#![cfg_attr(not(vip_seeded_bugs), allow(unreachable_pub, reason = "public only in the build that seeds bugs"))]

#[cfg(vip_seeded_bugs)]
use std::cell::Cell;

/// Makes the enum and the table of its names from one list.
macro_rules! seeded_bugs {
    ($($variant:ident $name:literal $rule:literal $seen_by:literal $passes:literal;)+) => {
        /// Is one rule that can be taken out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SeededBug {
            $(#[doc = concat!("Without ", $rule, "; seen by ", $seen_by, ".")] $variant,)+
        }

        #[cfg(vip_seeded_bugs)]
        impl SeededBug {
            const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the rule that is taken out.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)+ }
            }

            /// Returns the property that has to see it.
            #[must_use]
            pub const fn seen_by(self) -> &'static str {
                match self { $(Self::$variant => $seen_by,)+ }
            }

            /// Says whether reference orders without faults still pass.
            ///
            /// They do not where the rule is for something that a reference order does by itself: a fence that refuses
            /// nothing lets the delete of an order under way pass as one writer too many, an order under a foreign name
            /// is answered 409, a repeat after the delete is part of an order, two tenants are two, a delete overtakes
            /// an announcement, an epoch that falls refuses the rightful worker, and a job may come between a claim and the wait.
            #[must_use]
            pub const fn passes_without_faults(self) -> bool {
                match self { $(Self::$variant => $passes,)+ }
            }
        }
    };
}

seeded_bugs! {
    NoFence "no_fence" "F1, F2, F3, F4" "P3" false;
    FenceByAttempt "fence_by_attempt" "epoch and claim in F1 to F4" "P3" true;
    HolderNotChecked "holder_not_checked" "the holder in F2 and F3" "P3" true;
    BlindRetry "blind_retry" "C2" "P2" false;
    AdoptByNameOnly "adopt_by_name_only" "what is ours" "P2, P5" false;
    DeleteByName "delete_by_name" "D1" "P5" true;
    NoIntentBeforeCreate "no_intent_before_create" "the order announce, call, record" "O1" false;
    NoQuarantine "no_quarantine" "D3" "O1" true;
    QuarantineSkippedOnDelete "quarantine_skipped_on_delete" "D3 after N8" "O1" true;
    NoSweep "no_sweep" "S5, S6" "P2" true;
    SweepOnFirstSighting "sweep_on_first_sighting" "S3, N9" "O3" true;
    SweepWithoutOwner "sweep_without_owner" "the owner label in S1 and in the look" "P5" true;
    AckBeforeCommit "ack_before_commit" "accept answers after its commit" "P1" true;
    AuditOutsideCommit "audit_outside_commit" "the audit record is in the commit" "P4" false;
    LeaseByLocalClock "lease_by_local_clock" "leases go by the queue's clock" "O2" true;
    OutageBurnsAttempts "outage_burns_attempts" "waiting burns no attempt" "P6" true;
    SnoozeResetsEpoch "snooze_resets_epoch" "the epoch rises" "O4" false;
    LostWakeUp "lost_wake_up" "polling" "O4" false;
    UndecodableForEver "undecodable_for_ever" "an undecodable payload burns attempts" "quiescence" true;
    KeyOutsideCommit "key_outside_commit" "the idempotency key is in the commit" "P2" true;
    QuotaOutsideCommit "quota_outside_commit" "the quota is taken in the commit" "used <= limit" true;
    KeyForgottenAfterDelete "key_forgotten_after_delete" "the life of a key" "P2" false;
    TenantMissingInQuery "tenant_missing_in_query" "the tenant in every query" "P5" false;
    RerunMarkLost "rerun_mark_lost" "settle keeps the mark to run again" "O4" true;
    SettleByJobAlone "settle_by_job_alone" "F4" "P3" true;
    TakeoverWithoutEpoch "takeover_without_epoch" "the epoch in F1, F3" "P3" true;
    AdoptingClearsLand "adopting_clears_land" "adopting keeps `land`" "O1" true;
    NextAccountWhileOpen "next_account_while_open" "C4" "O1, P2" true;
    InventoryBeforeRecords "inventory_before_records" "the order in S1, S8, and the looks at the missing" "O3" true;
    UncheckedTokenBelieved "unchecked_token_believed" "S8" "P2, O3" true;
}

/// Says whether a bug is switched on: never, in this build.
#[cfg(not(vip_seeded_bugs))]
#[inline]
#[must_use]
pub const fn is_on(_bug: SeededBug) -> bool {
    false
}

#[cfg(vip_seeded_bugs)]
thread_local! {
    static ACTIVE: Cell<Option<SeededBug>> = const { Cell::new(None) };
}

/// Says whether a bug is switched on in this thread.
#[cfg(vip_seeded_bugs)]
#[must_use]
pub fn is_on(bug: SeededBug) -> bool {
    ACTIVE.get() == Some(bug)
}

/// Switches a bug on in this thread, and the one before it off; none switches it off.
#[cfg(vip_seeded_bugs)]
pub fn activate(bug: Option<SeededBug>) {
    ACTIVE.set(bug);
}

/// Returns the bug with a name.
#[cfg(vip_seeded_bugs)]
#[must_use]
pub fn parse(name: &str) -> Option<SeededBug> {
    all().iter().copied().find(|bug| bug.name() == name)
}

/// Returns all bugs: first the 25 of the gate in its order, then five more.
#[cfg(vip_seeded_bugs)]
#[must_use]
pub const fn all() -> &'static [SeededBug] {
    SeededBug::ALL
}
