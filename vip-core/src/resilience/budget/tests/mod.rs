//! Tests of the budget: whose turn it is, how long the others wait, and what the headers change.

mod best_effort;

use super::super::breaker::{Breaker, BreakerMode, Guarded};
use super::state::reserve_percent;
use super::*;
use crate::model::{AccountId, Effect, InstallationId, ProviderServerId};
use crate::ports::{Priority, ProviderClient, ProviderErrorKind, RequestContext};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn want(priority: Priority) -> Want {
    Want { priority, cost: 1, is_create: false }
}

fn rate(limit_per_hour: u32, remaining: u32, answers: u64) -> Option<RateLimit> {
    Some(RateLimit { limit_per_hour, remaining, answers })
}

/// Makes a ledger that has learned at time zero how much is left.
fn knowing(limit: u32, remaining: u32) -> Ledger {
    let mut ledger = Ledger::new();
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Settle), None), Turn::Go);
    ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::Answered, rate(limit, remaining, 1));
    ledger
}

fn turn(ledger: &mut Ledger, now: Duration, priority: Priority) -> Turn {
    let place = ledger.queue(priority);
    let turn = ledger.turn(now, place, want(priority), None);
    ledger.leave(place);
    turn
}

#[test]
fn each_priority_leaves_its_share_free_and_goes_at_the_bound() {
    for priority in Priority::ALL {
        let free = 1000 * u32::from(reserve_percent(priority)) / 100;
        assert_eq!(turn(&mut knowing(1000, free + 1), Duration::ZERO, priority), Turn::Go, "{priority:?}");
        let waits = turn(&mut knowing(1000, free), Duration::ZERO, priority);
        // One request of 1000 an hour comes back after 3.6 s.
        assert_eq!(waits, Turn::Wait(Duration::from_millis(3600)), "{priority:?}");
    }
    assert!(Priority::ALL.windows(2).all(|pair| reserve_percent(pair[0]) < reserve_percent(pair[1])));
}

#[test]
fn the_more_urgent_goes_first_whoever_came_first_and_among_equals_who_came_first() {
    let mut ledger = knowing(3600, 3600);
    let sweep = ledger.queue(Priority::Sweep);
    let (first, second) = (ledger.queue(Priority::Change), ledger.queue(Priority::Change));
    let now = Duration::ZERO;
    assert!(matches!(ledger.turn(now, sweep, want(Priority::Sweep), None), Turn::Wait(_)));
    assert!(matches!(ledger.turn(now, second, want(Priority::Change), None), Turn::Wait(_)));
    assert_eq!(ledger.turn(now, first, want(Priority::Change), None), Turn::Go);
    assert_eq!(ledger.turn(now, second, want(Priority::Change), None), Turn::Go);
    assert_eq!(ledger.turn(now, sweep, want(Priority::Sweep), None), Turn::Go);
}

#[test]
fn after_throttling_the_next_request_is_due_when_one_comes_back_and_not_when_the_budget_is_full_again() {
    let mut ledger = knowing(3600, 3600);
    let place = ledger.queue(Priority::Change);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Change), None), Turn::Go);
    ledger.ended(Duration::ZERO, want(Priority::Change), Sent::Throttled(seconds(1)), rate(3600, 0, 2));
    assert_eq!(turn(&mut ledger, Duration::ZERO, Priority::Settle), Turn::Wait(seconds(1)));
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(seconds(1), place, want(Priority::Settle), None), Turn::Go);
    // Throttled once more: the pause doubles, up to a minute.
    ledger.ended(seconds(1), want(Priority::Settle), Sent::Throttled(seconds(1)), rate(3600, 0, 3));
    assert_eq!(turn(&mut ledger, seconds(1), Priority::Settle), Turn::Wait(seconds(3)));
}

#[test]
fn after_throttling_one_request_of_any_priority_asks_how_much_is_left() {
    let mut ledger = knowing(3600, 3600);
    let place = ledger.queue(Priority::Change);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Change), None), Turn::Go);
    ledger.ended(Duration::ZERO, want(Priority::Change), Sent::Throttled(seconds(1)), rate(3600, 0, 2));
    let (poll, second) = (ledger.queue(Priority::Poll), ledger.queue(Priority::Poll));
    assert_eq!(ledger.turn(seconds(1), poll, want(Priority::Poll), None), Turn::Go);
    assert!(matches!(ledger.turn(seconds(1), second, want(Priority::Poll), None), Turn::Wait(_)));
    ledger.ended(seconds(1), want(Priority::Poll), Sent::Answered, rate(3600, 3500, 3));
    assert_eq!(ledger.turn(seconds(1), second, want(Priority::Poll), None), Turn::Go);
}

#[test]
fn headers_count_downward_at_once_and_upward_only_when_nothing_is_under_way() {
    let mut ledger = knowing(3600, 100);
    let (first, second) = (ledger.queue(Priority::Settle), ledger.queue(Priority::Settle));
    for place in [first, second] {
        assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Settle), None), Turn::Go);
    }
    let left = |ledger: &Ledger| ledger.left(Duration::ZERO).unwrap().1;
    ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::Answered, rate(3600, 3000, 2));
    assert!((left(&ledger) - 98.0).abs() < 0.001);
    // The same answer is not read twice.
    ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::Answered, rate(3600, 3000, 2));
    assert!((left(&ledger) - 98.0).abs() < 0.001);
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Settle), None), Turn::Go);
    ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::Answered, rate(3600, 3000, 3));
    assert!((left(&ledger) - 3000.0).abs() < 0.001);
}

#[test]
fn what_was_held_back_gives_its_request_back() {
    let mut ledger = knowing(3600, 1);
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Settle), None), Turn::Go);
    assert!(matches!(turn(&mut ledger, Duration::ZERO, Priority::Settle), Turn::Wait(_)));
    ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::No, None);
    assert_eq!(turn(&mut ledger, Duration::ZERO, Priority::Settle), Turn::Go);
}

#[test]
fn after_an_outage_requests_keep_to_a_part_of_the_rate() {
    let mut ledger = knowing(3600, 3600);
    let pace = Some(Pace { percent: 15, full_after: seconds(90) });
    let mut sent = 0;
    for now in 0..60 {
        let place = ledger.queue(Priority::Change);
        sent += u32::from(ledger.turn(seconds(now), place, want(Priority::Change), pace) == Turn::Go);
        ledger.leave(place);
    }
    // 15 percent of one a second.
    assert_eq!(sent, 9);
    assert_eq!(turn(&mut ledger, seconds(60), Priority::Change), Turn::Go);
}

#[test]
fn those_who_are_sent_away_come_back_one_after_another() {
    let mut ledger = knowing(3600, 0);
    let away = |ledger: &mut Ledger, now| ledger.send_away(now, Priority::Poll, now + seconds(20), None);
    assert_eq!(away(&mut ledger, seconds(0)), seconds(20));
    assert_eq!(away(&mut ledger, seconds(0)), seconds(21));
    assert_eq!(away(&mut ledger, seconds(0)), seconds(22));
    assert_eq!(away(&mut ledger, seconds(3)), seconds(20));
    for _ in 0..1000 {
        away(&mut ledger, seconds(3));
    }
    assert_eq!(away(&mut ledger, seconds(3)), seconds(300));
    // When all of them have come, nobody else waits behind them.
    assert_eq!(away(&mut ledger, seconds(304)), seconds(20));
}

#[test]
fn nobody_comes_back_later_for_those_who_only_try() {
    let mut ledger = knowing(3600, 0);
    let away = |ledger: &mut Ledger, priority| ledger.send_away(Duration::ZERO, priority, seconds(20), None);
    for _ in 0..1000 {
        away(&mut ledger, Priority::BestEffort);
    }
    assert_eq!(away(&mut ledger, Priority::Poll), seconds(20));
    assert_eq!(away(&mut ledger, Priority::BestEffort), seconds(300));
}

#[test]
fn those_who_are_sent_away_while_one_asks_how_much_is_left_come_back_soon() {
    let mut ledger = knowing(3600, 3600);
    let place = ledger.queue(Priority::Change);
    assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Change), None), Turn::Go);
    ledger.ended(Duration::ZERO, want(Priority::Change), Sent::Throttled(seconds(1)), rate(3600, 0, 2));
    let asker = ledger.queue(Priority::Poll);
    assert_eq!(ledger.turn(seconds(1), asker, want(Priority::Poll), None), Turn::Go);
    // By what the refusal said, another create would have to wait until 73 requests have come back.
    let Turn::Wait(until) = turn(&mut ledger, seconds(1), Priority::Change) else { panic!("it has to wait") };
    assert!(until > seconds(70), "{until:?}");
    assert_eq!(ledger.send_away(seconds(1), Priority::Change, until, None), seconds(1));
    for _ in 0..100 {
        assert!(ledger.send_away(seconds(1), Priority::Change, until, None) <= seconds(9));
    }
    // Whoever asked got no answer: nothing is known yet, and the next one asks.
    ledger.ended(seconds(1), want(Priority::Poll), Sent::Unanswered, None);
    assert!(ledger.send_away(seconds(1), Priority::Change, until, None) <= seconds(9));
    let asker = ledger.queue(Priority::Poll);
    assert_eq!(ledger.turn(seconds(1), asker, want(Priority::Poll), None), Turn::Go);
    // Once it is known that nothing is left, the time is the right one.
    ledger.ended(seconds(1), want(Priority::Poll), Sent::Answered, rate(3600, 0, 3));
    assert!(ledger.send_away(seconds(1), Priority::Change, until, None) > seconds(70));
}

#[test]
fn a_crowd_that_is_throttled_at_once_doubles_the_pause_once_and_a_stubborn_refusal_up_to_eightfold() {
    let mut ledger = knowing(3600, 3600);
    for _ in 0..10 {
        let place = ledger.queue(Priority::Settle);
        assert_eq!(ledger.turn(Duration::ZERO, place, want(Priority::Settle), None), Turn::Go);
    }
    for answers in 2..12 {
        ledger.ended(Duration::ZERO, want(Priority::Settle), Sent::Throttled(seconds(1)), rate(3600, 0, answers));
    }
    let mut now = Duration::ZERO;
    for (answers, pause) in (12..).zip([1, 2, 4, 8, 8, 8]) {
        let place = ledger.queue(Priority::Settle);
        assert_eq!(ledger.turn(now, place, want(Priority::Settle), None), Turn::Wait(now + seconds(pause)));
        now += seconds(pause);
        assert_eq!(ledger.turn(now, place, want(Priority::Settle), None), Turn::Go);
        ledger.ended(now, want(Priority::Settle), Sent::Throttled(seconds(1)), rate(3600, 0, answers));
    }
}

#[test]
fn an_answer_ends_the_doubling_also_where_the_provider_does_not_say_how_much_is_left() {
    let mut ledger = Ledger::new();
    let mut refused_at = |now: Duration| {
        let place = ledger.queue(Priority::Settle);
        assert_eq!(ledger.turn(now, place, want(Priority::Settle), None), Turn::Go);
        ledger.ended(now, want(Priority::Settle), Sent::Throttled(seconds(1)), None);
        let Turn::Wait(until) = turn(&mut ledger, now, Priority::Settle) else { panic!("it has to wait") };
        until.saturating_sub(now)
    };
    assert_eq!((refused_at(seconds(10)), refused_at(seconds(20))), (seconds(1), seconds(2)));
    ledger.ended(seconds(30), want(Priority::Settle), Sent::Answered, None);
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(seconds(30), place, want(Priority::Settle), None), Turn::Go);
    ledger.ended(seconds(30), want(Priority::Settle), Sent::Throttled(seconds(1)), None);
    assert_eq!(turn(&mut ledger, seconds(30), Priority::Settle), Turn::Wait(seconds(31)));
}

fn budget(creates: u32) -> Arc<Budget> {
    let settings = BudgetSettings { creates_unanswered: creates };
    Arc::new(Budget::new(&settings).unwrap())
}

async fn go(budget: &Arc<Budget>, want: Want, deadline: Duration) -> Result<Turned, ProviderError> {
    budget.turn(want, deadline, || None).await
}

#[tokio::test(start_paused = true)]
async fn of_creates_without_an_answer_there_are_ten_and_the_eleventh_waits_for_one() {
    let budget = budget(BudgetSettings::default().creates_unanswered);
    let create = Want { is_create: true, ..want(Priority::Change) };
    let mut under_way = Vec::new();
    for _ in 0..10 {
        under_way.push(go(&budget, create, seconds(30)).await.unwrap());
    }
    let mut eleventh = std::pin::pin!(go(&budget, create, seconds(30)));
    let early = tokio::time::timeout(seconds(5), eleventh.as_mut()).await;
    assert!(early.is_err(), "an eleventh create was sent");
    // Others do not wait for creates that are slow.
    assert!(go(&budget, want(Priority::Catalog), seconds(1)).await.is_ok());
    under_way.pop().unwrap().ended(Sent::Answered, None);
    under_way.push(eleventh.await.unwrap());
    assert_eq!(budget.view().creates_unanswered, 10);
    assert!(Budget::new(&BudgetSettings { creates_unanswered: 0 }).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_only_tried_waits_for_nothing_and_keeps_no_place() {
    let budget = budget(1);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 2160, 1));
    let create = |priority| Want { is_create: true, ..want(priority) };
    let began = Instant::now();
    let error = go(&budget, create(Priority::BestEffort), seconds(30)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.retry_after, began.elapsed()), ("budget", Some(seconds(1)), Duration::ZERO));
    let wanted = go(&budget, create(Priority::Change), seconds(30)).await.unwrap();
    let error = go(&budget, create(Priority::BestEffort), seconds(30)).await.unwrap_err();
    assert_eq!(error.code, "creates_unanswered");
    assert!(began.elapsed() < seconds(1));
    drop(wanted);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_have_a_turn_in_time_leaves_at_once_and_is_told_when_to_come_back() {
    let budget = budget(10);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 0, 1));
    let began = Instant::now();
    let error = go(&budget, want(Priority::Catalog), seconds(30)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ProviderErrorKind::NotSent, "budget"));
    // Half of the limit has to be free for it: that is 1800 s away, and nobody is sent away for longer than 300 s.
    assert_eq!((error.retry_after, began.elapsed()), (Some(seconds(300)), Duration::ZERO));
    assert!(go(&budget, want(Priority::Settle), seconds(30)).await.is_ok());
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(budget.view().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_queue_and_what_it_sent_still_counts() {
    let budget = budget(10);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 0, 1));
    {
        let mut waits = std::pin::pin!(go(&budget, want(Priority::Settle), seconds(30)));
        assert!(tokio::time::timeout(Duration::from_millis(100), waits.as_mut()).await.is_err());
        assert_eq!(budget.view().waiting, 1);
    }
    assert_eq!(budget.view().waiting, 0);
    let turned = go(&budget, want(Priority::Settle), seconds(30)).await.unwrap();
    drop(turned);
    assert_eq!(budget.view().left, Some(0));
}

#[tokio::test(start_paused = true)]
async fn of_those_who_wait_for_a_turn_there_is_a_most_and_one_more_leaves_at_once() {
    let budget = budget(10);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 0, 1));
    for _ in 1..WAITING_MOST {
        budget.ledger().queue(Priority::Poll);
    }
    let mut last = std::pin::pin!(go(&budget, want(Priority::Settle), seconds(30)));
    assert!(tokio::time::timeout(Duration::from_millis(100), last.as_mut()).await.is_err());
    assert_eq!(budget.view().waiting, WAITING_MOST);
    let began = Instant::now();
    let error = go(&budget, want(Priority::Settle), seconds(30)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ProviderErrorKind::NotSent, ProviderError::CROWDED));
    assert_eq!((error.retry_after, began.elapsed()), (Some(seconds(1)), Duration::ZERO));
    assert!(last.await.is_ok());
}

fn reads() -> Arc<dyn ProviderClient> {
    Arc::new(crate::memory::MemoryProvider::default())
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_set_aside_and_not_used_is_given_back_with_its_request() {
    let budget = budget(1);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 100, 1));
    let client = Budgeted::new(reads(), budget.clone());
    let create = Effect::Create { candidate: 0 };
    let context = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap();
    assert_eq!((budget.view().creates_unanswered, budget.view().left), (1, Some(99)));
    let second = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap_err();
    assert_eq!(second.code, "creates_unanswered");
    drop(context);
    // 15 s have passed, in which as many requests came back.
    assert_eq!((budget.view().creates_unanswered, budget.view().left), (0, Some(115)));
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_serves_one_effect_of_its_kind_behind_its_own_budget() {
    let (own, other) = (budget(1), budget(1));
    let client = Budgeted::new(reads(), own.clone());
    let delete = Effect::Delete { id: ProviderServerId::new("7").unwrap() };
    let context = client.reserve(&delete, RequestContext::new(seconds(30))).await.unwrap();
    let reserved = context.reserved.unwrap();
    let (delete, create) = (want(Priority::Change), Want { is_create: true, ..want(Priority::Change) });
    assert!(reserved.take(|it: &SetAside| it.is_for(&own, create)).is_none());
    assert!(reserved.take(|it: &SetAside| it.is_for(&other, delete)).is_none());
    assert!(reserved.take(|it: &SetAside| it.is_for(&own, delete)).is_some());
    assert!(reserved.take(|it: &SetAside| it.is_for(&own, delete)).is_none());
}

#[test]
fn nobody_is_told_to_come_back_sooner_than_after_a_second() {
    let mut ledger = knowing(10_000_000, 10_000_000);
    assert_eq!(ledger.send_away(Duration::ZERO, Priority::Poll, Duration::ZERO, None), seconds(1));
    let later = ledger.send_away(Duration::ZERO, Priority::Poll, Duration::from_millis(1_001), None);
    assert_eq!(later, Duration::from_micros(1_001_360));
}

#[tokio::test(start_paused = true)]
async fn who_waited_while_the_provider_was_shut_off_is_told_so_and_keeps_nothing() {
    let settings = crate::resilience::BreakerSettings::default();
    let randomness = Arc::new(crate::ports::SeededRandomness::new(1));
    let breaker = Breaker::new(AccountId::default_account(), settings, randomness).unwrap();
    let (budget, breaker) = (budget(1), Arc::new(breaker));
    let guarded = Guarded::new(reads(), breaker.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(1)));
    let client = Budgeted::new(Arc::new(guarded), budget.clone());
    let create = Effect::Create { candidate: 0 };
    let taken = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap();
    let mut waits = std::pin::pin!(client.reserve(&create, RequestContext::new(seconds(30))));
    assert!(tokio::time::timeout(seconds(1), waits.as_mut()).await.is_err());
    breaker.set_mode(BreakerMode::ForcedOpen);
    drop(taken);
    assert_eq!(waits.await.unwrap_err().code, "breaker_forced_open");
    assert_eq!(budget.view().creates_unanswered, 0);
}
