//! The claim: takes due jobs, and begins where the last one ended, so that rows which are gone are not walked over again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;
use vip_core::model::{Job, JobKind};
use vip_core::ports::{ClaimRequest, Claimed, Lease, LeaseRef, Settlement};
use vip_core::telemetry;

use super::error::Failure;
use super::lanes::Lane;
use super::leases::{lease_under, settle_round};
use super::rows::{self, micros};
use super::session::{Form, Repeat, Write};
use super::transaction::Transaction;
use crate::unreadable;

/// Shortest time between two claims that begin at the beginning although the others have their hands full: how long a job
/// may wait that was committed late, behind jobs that are due after it.
const WHOLE_LEAST: Duration = Duration::from_millis(100);
/// Longest time that other claims go on from their places because one from the beginning is under way.
const WHOLE_MOST: Duration = Duration::from_secs(5);
/// Times of what such a claim took, until the next one: at most a twentieth of the time goes into them.
const WHOLE_SHARE: u32 = 20;

/// Time after whose passing a claim does not look once more: what it has could be lost to its own deadline.
const SECOND_LOOK_WITHIN: Duration = Duration::from_millis(250);

/// A place in the order of claims.
type Place = (i64, Uuid);

/// Before all places.
const BEGINNING: Place = (i64::MIN, Uuid::nil());

/// Remembers for each kind how far the claims of this process have come.
#[derive(Debug, Default)]
pub(super) struct Floors(Mutex<Reached>);

#[derive(Debug, Default)]
struct Reached {
    places: BTreeMap<JobKind, Place>,
    /// When a claim of a kind begins at the beginning in any case.
    whole_at: BTreeMap<JobKind, Instant>,
}

impl Floors {
    fn lock(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where a claim may begin; nothing if at the beginning. Others that begin meanwhile go on from their places.
    fn begin(&self, kinds: &[JobKind], now: Instant) -> Option<BTreeMap<JobKind, Place>> {
        let mut reached = self.lock();
        if kinds.iter().any(|kind| reached.whole_at.get(kind).is_none_or(|at| *at <= now)) {
            reached.whole_at.extend(kinds.iter().map(|kind| (kind.clone(), now + WHOLE_MOST)));
            return None;
        }
        let places: BTreeMap<JobKind, Place> =
            kinds.iter().filter_map(|kind| Some((kind.clone(), *reached.places.get(kind)?))).collect();
        (!places.is_empty()).then_some(places)
    }

    /// Notes that a claim from the beginning has taken so long.
    fn note_whole(&self, kinds: &[JobKind], begun: Instant, now: Instant) {
        let pause = now.saturating_duration_since(begun).saturating_mul(WHOLE_SHARE).max(WHOLE_LEAST);
        let mut reached = self.lock();
        for kind in kinds {
            // One that is gone was taken away meanwhile: the next claim is to begin at the beginning.
            if let Some(at) = reached.whole_at.get_mut(kind) {
                *at = now + pause;
            }
        }
    }

    /// Lets the next claim of these kinds begin at the beginning.
    fn be_whole_next(&self, kinds: &[JobKind]) {
        let mut reached = self.lock();
        reached.whole_at.retain(|kind, _at| !kinds.contains(kind));
    }

    /// Notes what a claim got: all that it asked for, or else there is nothing behind it either. Of claims that went on
    /// from a place, the one that came farthest counts, whichever ends last.
    fn note(&self, kinds: &[JobKind], jobs: &[Job], is_full: bool, is_whole: bool) {
        let mut reached = self.lock();
        if !is_full {
            reached.places.retain(|kind, _place| !kinds.contains(kind));
            return;
        }
        // In the order of their places: the last one of a kind stays.
        for job in jobs {
            let place = (job.due.as_micros(), job.id.as_uuid());
            match reached.places.get_mut(&job.kind) {
                Some(known) => *known = if is_whole { place } else { place.max(*known) },
                None => drop(reached.places.insert(job.kind.clone(), place)),
            }
        }
    }
}

/// Claims jobs.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) request: ClaimRequest,
    /// Nothing where a claim is a transaction: its second statement could then take the first one back.
    pub(super) floors: Option<Arc<Floors>>,
}

#[async_trait]
impl Write for Claim {
    type Answer = Vec<Claimed>;
    const LANE: Lane = Lane::Claim;
    const FORM: Form = Form::Statements;
    // A second one would claim other jobs; those of the first come back when their leases expire.
    const REPEAT: Repeat = Repeat::Told;

    fn patience(&self) -> Duration {
        // What it has claimed is lost until that expires, and a job that was claimed and lost too often dies.
        self.request.lease
    }

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Claimed>, Failure> {
        let request = &self.request;
        let begun = Instant::now();
        let places = self.floors.as_ref().and_then(|floors| floors.begin(&request.kinds, begun));
        let is_whole = places.is_none();
        let found = claim(transaction, request, (request.most, places.unwrap_or_default()), &self.floors).await;
        if let (true, Some(floors)) = (is_whole, &self.floors) {
            // Also one that failed: if it took too long, the next ones go on from where the last one ended.
            floors.note_whole(&request.kinds, begun, Instant::now());
        }
        if let (Err(_), false, Some(floors)) = (&found, is_whole, &self.floors) {
            // Another one may have gone past the rows that this one had locked, and has given back.
            floors.be_whole_next(&request.kinds);
        }
        let mut jobs = found?;
        let most = usize::try_from(request.most).unwrap_or(usize::MAX);
        let mut is_full = jobs.len() >= most;
        if !is_full && !is_whole && begun.elapsed() > SECOND_LOOK_WITHIN {
            // What is claimed already is not put at risk: the next claim looks from the beginning.
            is_full = true;
            if let Some(floors) = &self.floors {
                floors.be_whole_next(&request.kinds);
            }
        } else if !is_full && !is_whole {
            let left = request.most.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            match claim(transaction, request, (left, BTreeMap::new()), &self.floors).await {
                Ok(earlier) => {
                    jobs.extend(earlier);
                    is_full = jobs.len() >= most;
                }
                Err(failure) if jobs.is_empty() => return Err(failure),
                // The first statement is a commit: what it has claimed is ours.
                Err(failure) => {
                    telemetry::tell(|| tracing::debug!(?failure, "a claim did not look for jobs that came late"));
                    is_full = true;
                }
            }
        }
        // RETURNING has no order.
        jobs.sort_by_key(|job| (job.due, job.id));
        if let Some(floors) = &self.floors {
            floors.note(&request.kinds, &jobs, is_full, is_whole);
        }
        let claimed = |job: Job| {
            let reference = LeaseRef { job: job.id, epoch: job.epoch, claim: request.claim };
            Claimed { job, lease: Lease { reference, duration: request.lease } }
        };
        Ok(jobs.into_iter().map(claimed).collect())
    }
}

async fn claim(
    transaction: &mut Transaction<'_>,
    request: &ClaimRequest,
    (most, places): (u32, BTreeMap<JobKind, Place>),
    floors: &Option<Arc<Floors>>,
) -> Result<Vec<Job>, Failure> {
    let mut kinds = request.kinds.clone();
    kinds.sort();
    kinds.dedup();
    let places: Vec<Place> = kinds.iter().map(|kind| places.get(kind).copied().unwrap_or(BEGINNING)).collect();
    let query = transaction.queries().job_claim.query();
    let query = query
        .bind(transaction.bound_now())
        .bind(kinds.iter().map(ToString::to_string).collect::<Vec<_>>())
        .bind(i64::from(most))
        .bind(request.claim.as_uuid())
        .bind(micros(request.lease))
        .bind(places.iter().map(|place| place.0).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.1).collect::<Vec<_>>());
    let (mut jobs, mut unreadable) = (Vec::new(), Vec::new());
    let found = transaction.rows(query).await?;
    for (row, job) in found.iter().zip(rows::claimed(&found, request.claim)?) {
        match job {
            Ok(job) => jobs.push(job),
            Err(failure) => {
                let lease = lease_under(request.claim, row)?;
                unreadable::report(lease.job, &failure);
                unreadable.push(unreadable::end(lease));
            }
        }
    }
    match set_apart(transaction, &unreadable).await {
        // The others are claimed all the same. These are claimed again when their leases have expired.
        Err(failure) if floors.is_some() => {
            telemetry::tell(|| tracing::warn!(?failure, "jobs that cannot be read were not set apart yet"));
        }
        // Where a claim is a transaction, all of it is taken back.
        outcome => outcome?,
    }
    Ok(jobs)
}

/// Ends claimed jobs that cannot be read.
async fn set_apart(transaction: &mut Transaction<'_>, unreadable: &[Settlement]) -> Result<(), Failure> {
    let unreadable: Vec<&Settlement> = unreadable.iter().collect();
    if unreadable.is_empty() { Ok(()) } else { settle_round(transaction, &unreadable).await.map(drop) }
}

#[cfg(test)]
mod tests {
    use vip_core::model::{JobId, JobKey, NewJob, Payload, Timestamp};

    use super::*;

    fn kind(name: &str) -> JobKind {
        JobKind::new(name).unwrap()
    }

    fn job(name: &str, due: i64) -> Job {
        let id = JobId::from_uuid(Uuid::from_u128(7));
        let new = NewJob::new(id, JobKey::new("a:1").unwrap(), kind(name), Payload::from_text("null").unwrap());
        Job::waiting(new, Timestamp::from_micros(due))
    }

    #[test]
    fn a_claim_that_got_all_it_asked_for_is_gone_on_from_and_one_that_did_not_is_not() {
        let (floors, begun) = (Floors::default(), Instant::now());
        let kinds = [kind("a"), kind("b")];
        assert_eq!(floors.begin(&kinds, begun), None, "the first one begins at the beginning");
        floors.note_whole(&kinds, begun, begun);
        floors.note(&kinds, &[job("a", 1), job("a", 3)], true, true);
        let places = floors.begin(&kinds, begun).unwrap();
        assert_eq!(places, BTreeMap::from([(kind("a"), (3, Uuid::from_u128(7)))]));
        assert_eq!(floors.begin(&[kind("b")], begun), None, "of this kind nothing was claimed");
        floors.note(&kinds, &[job("a", 4)], false, true);
        assert_eq!(floors.begin(&kinds, begun), None);
    }

    #[test]
    fn of_two_claims_at_once_the_one_that_came_farthest_counts_and_one_from_the_beginning_counts_as_it_is() {
        let (floors, begun) = (Floors::default(), Instant::now());
        let a = [kind("a")];
        let at = |floors: &Floors| floors.begin(&a, begun).unwrap()[&kind("a")].0;
        assert_eq!(floors.begin(&a, begun), None);
        floors.note_whole(&a, begun, begun);
        floors.note(&a, &[job("a", 5)], true, false);
        floors.note(&a, &[job("a", 3)], true, false);
        assert_eq!(at(&floors), 5);
        floors.note(&a, &[job("a", 2)], true, true);
        assert_eq!(at(&floors), 2);
    }

    #[test]
    fn while_one_claim_looks_from_the_beginning_others_go_on_from_their_places_for_a_while() {
        let (floors, begun) = (Floors::default(), Instant::now());
        let a = [kind("a")];
        assert_eq!(floors.begin(&a, begun), None);
        floors.note_whole(&a, begun, begun);
        floors.note(&a, &[job("a", 5)], true, true);
        let due = begun + WHOLE_LEAST;
        assert_eq!(floors.begin(&a, due), None);
        assert!(floors.begin(&a, due).is_some(), "a second one looks from the beginning beside it");
        assert!(floors.begin(&a, due + WHOLE_MOST - Duration::from_nanos(1)).is_some());
        assert_eq!(floors.begin(&a, due + WHOLE_MOST), None, "the first one never ended");
    }

    #[test]
    fn a_kind_that_is_asked_for_again_and_again_takes_no_look_at_the_beginning_from_another() {
        let (floors, begun) = (Floors::default(), Instant::now());
        assert_eq!(floors.begin(&[kind("a")], begun), None);
        floors.note_whole(&[kind("a")], begun, begun);
        floors.note(&[kind("a")], &[job("a", 1)], true, true);
        let later = begun + WHOLE_LEAST;
        assert_eq!(floors.begin(&[kind("c")], later), None);
        floors.note_whole(&[kind("c")], later, later);
        assert_eq!(floors.begin(&[kind("a")], later), None);
        floors.note_whole(&[kind("a")], later, later);
        assert!(floors.begin(&[kind("a")], later).is_some());
        floors.be_whole_next(&[kind("a")]);
        assert_eq!(floors.begin(&[kind("a")], later), None);
        floors.be_whole_next(&[kind("a")]);
        floors.note_whole(&[kind("a")], later, later);
        assert_eq!(floors.begin(&[kind("a")], later), None, "what was asked for meanwhile is forgotten");
    }

    #[test]
    fn however_much_there_is_to_do_a_claim_begins_at_the_beginning_now_and_then() {
        let (floors, begun) = (Floors::default(), Instant::now());
        let next_after = |took: Duration| {
            floors.be_whole_next(&[kind("a")]);
            assert_eq!(floors.begin(&[kind("a")], begun), None);
            floors.note_whole(&[kind("a")], begun, begun + took);
            floors.note(&[kind("a")], &[job("a", 1)], true, true);
            let after = |pause: Duration| floors.begin(&[kind("a")], begun + took + pause).is_none();
            let pause = took.saturating_mul(WHOLE_SHARE).max(WHOLE_LEAST);
            (after(pause.saturating_sub(Duration::from_nanos(1))), after(pause))
        };
        assert_eq!(next_after(Duration::ZERO), (false, true));
        assert_eq!(next_after(Duration::from_millis(50)), (false, true));
    }
}
