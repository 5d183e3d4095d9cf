//! Tests of what is only tried: what it takes, and what it leaves to everybody else.

use super::*;

/// Orders that wait for stock ask twice as often as requests come back, for two hours.
#[test]
fn who_only_tries_takes_what_is_left_over_and_leaves_to_everybody_else_their_turn() {
    let mut ledger = knowing(3600, 3600);
    let mut tries = 0;
    for second in 0..7200 {
        for _ in 0..2 {
            if turn(&mut ledger, seconds(second), Priority::BestEffort) == Turn::Go {
                ledger.ended(seconds(second), want(Priority::BestEffort), Sent::Answered, None);
                tries += 1;
            }
        }
    }
    // Two fifths of the limit, and then what comes back.
    assert!((8_600..=8_700).contains(&tries), "{tries}");
    for priority in Priority::ALL.into_iter().filter(|it| *it != Priority::BestEffort) {
        assert_eq!(turn(&mut ledger, seconds(7200), priority), Turn::Go, "{priority:?}");
    }
}

/// Else an order would say "out of stock" for as long as others keep the account busy, and nobody had asked.
#[test]
fn who_only_tries_has_one_of_twenty_requests_while_others_leave_less_than_it_leaves_them() {
    let mut ledger = knowing(3600, 2000);
    let (mut tries, mut answers) = (0, 1);
    for second in 0..7200 {
        for _ in 0..5 {
            tries += u32::from(turn(&mut ledger, seconds(second), Priority::BestEffort) == Turn::Go);
        }
        // Whatever they take, others use up what comes back.
        answers += 1;
        ledger.ended(seconds(second), want(Priority::BestEffort), Sent::Answered, rate(3600, 2000, answers));
    }
    assert_eq!(tries, 359);
    // Where polls have no turn there is none for them either.
    ledger.ended(seconds(7200), want(Priority::BestEffort), Sent::Answered, rate(3600, 360, answers + 1));
    assert_ne!(turn(&mut ledger, seconds(7200), Priority::BestEffort), Turn::Go);
    assert_eq!(turn(&mut ledger, seconds(7200), Priority::Settle), Turn::Go);
}

/// Sweeps wait for their turn nearly always where they are what keeps the account at the level that they leave free.
#[test]
fn who_only_tries_has_its_share_also_while_sweeps_wait_and_passes_nothing_that_is_more_urgent() {
    let mut ledger = knowing(3600, 1080);
    let sweep = ledger.queue(Priority::Sweep);
    let (mut tries, mut answers) = (0, 1);
    for second in 0..3600 {
        for _ in 0..5 {
            tries += u32::from(turn(&mut ledger, seconds(second), Priority::BestEffort) == Turn::Go);
        }
        answers += 1;
        ledger.ended(seconds(second), want(Priority::BestEffort), Sent::Answered, rate(3600, 1080, answers));
        assert_ne!(ledger.turn(seconds(second), sweep, want(Priority::Sweep), None), Turn::Go);
    }
    assert_eq!(tries, 179);

    // Changes and polls that wait come before it.
    for priority in [Priority::Change, Priority::Poll] {
        let urgent = ledger.queue(priority);
        assert_ne!(turn(&mut ledger, seconds(3600), Priority::BestEffort), Turn::Go, "{priority:?}");
        assert_eq!(ledger.turn(seconds(3600), urgent, want(priority), None), Turn::Go);
    }
    assert_eq!(turn(&mut ledger, seconds(3600), Priority::BestEffort), Turn::Go);
    // It leaves more free than a poll.
    ledger.ended(seconds(3620), want(Priority::BestEffort), Sent::Answered, rate(3600, 540, answers + 1));
    assert_ne!(turn(&mut ledger, seconds(3620), Priority::BestEffort), Turn::Go);
    assert_eq!(turn(&mut ledger, seconds(3620), Priority::Poll), Turn::Go);
}

#[test]
fn whom_it_passes_loses_one_request_of_twenty_and_no_more() {
    let mut ledger = knowing(3600, 1080);
    let mut sweep = ledger.queue(Priority::Sweep);
    let (mut tries, mut sweeps) = (0, 0);
    for second in 0..3600 {
        for _ in 0..5 {
            tries += u32::from(turn(&mut ledger, seconds(second), Priority::BestEffort) == Turn::Go);
        }
        while ledger.turn(seconds(second), sweep, want(Priority::Sweep), None) == Turn::Go {
            sweep = ledger.queue(Priority::Sweep);
            sweeps += 1;
        }
    }
    // One comes back each second, but in the first.
    assert_eq!((tries, sweeps), (179, 3599 - 179));
}

#[test]
fn who_only_tries_passes_nobody_while_one_asks_how_much_is_left() {
    let mut ledger = knowing(3600, 1080);
    let sweep = ledger.queue(Priority::Sweep);
    assert_ne!(turn(&mut ledger, seconds(0), Priority::BestEffort), Turn::Go);
    let place = ledger.queue(Priority::Settle);
    assert_eq!(ledger.turn(seconds(20), place, want(Priority::Settle), None), Turn::Go);
    ledger.ended(seconds(20), want(Priority::Settle), Sent::Throttled(seconds(1)), rate(3600, 0, 2));
    assert_ne!(turn(&mut ledger, seconds(21), Priority::BestEffort), Turn::Go, "nothing may be left");
    assert_eq!(ledger.turn(seconds(21), sweep, want(Priority::Sweep), None), Turn::Go);
    ledger.ended(seconds(21), want(Priority::Sweep), Sent::Answered, rate(3600, 1080, 3));
    ledger.queue(Priority::Sweep);
    assert_eq!(turn(&mut ledger, seconds(21), Priority::BestEffort), Turn::Go);
}

/// After an outage a part of them goes: its share is one of these.
#[test]
fn at_a_part_of_the_rate_the_share_of_who_only_tries_is_a_part_too() {
    let mut ledger = knowing(3600, 1080);
    let pace = Some(Pace { percent: 10, full_after: seconds(3600) });
    let mut place = ledger.queue(Priority::Sweep);
    let (mut tries, mut sweeps) = (0, 0);
    for second in 0..1000 {
        let mine = ledger.queue(Priority::BestEffort);
        tries += u32::from(ledger.turn(seconds(second), mine, want(Priority::BestEffort), pace) == Turn::Go);
        ledger.leave(mine);
        if ledger.turn(seconds(second), place, want(Priority::Sweep), pace) == Turn::Go {
            place = ledger.queue(Priority::Sweep);
            sweeps += 1;
        }
    }
    assert_eq!((tries, sweeps), (4, 96));
}

/// Asks twenty creates for one delete, as where much is out of stock and something is locked.
#[test]
fn a_delete_that_is_only_tried_does_not_share_with_creates_that_are() {
    let mut ledger = knowing(3600, 1080);
    let (mut creates, mut deletes, mut answers) = (0, 0, 1);
    for second in 0..3600 {
        for count in 0..=20 {
            let tried = Want { is_create: count < 20, ..want(Priority::BestEffort) };
            let place = ledger.queue(Priority::BestEffort);
            let went = u32::from(ledger.turn(seconds(second), place, tried, None) == Turn::Go);
            ledger.leave(place);
            if tried.is_create { creates += went } else { deletes += went }
        }
        answers += 1;
        ledger.ended(seconds(second), want(Priority::Sweep), Sent::Answered, rate(3600, 1080, answers));
    }
    assert_eq!((creates, deletes), (179, 179));
}

/// Else thousands of servers that were locked for a day are removed at the pace of tries in vain.
#[test]
fn after_a_try_that_was_not_in_vain_every_second_request_is_for_those_who_only_try() {
    let mut ledger = knowing(3600, 1080);
    let (mut tries, mut answers) = (0, 1);
    for second in 0..3600 {
        for _ in 0..5 {
            if turn(&mut ledger, seconds(second), Priority::BestEffort) == Turn::Go {
                ledger.ended(seconds(second), want(Priority::BestEffort), Sent::Done, None);
                tries += 1;
            }
        }
        answers += 1;
        ledger.ended(seconds(second), want(Priority::Sweep), Sent::Answered, rate(3600, 1080, answers));
    }
    // The first one has to wait for its share of twenty.
    assert_eq!(tries, (3600 - 20) / 2);
}

/// Each of three processes takes its own share of the one rate, and that of tries that are not in vain is a half: no server would be
/// confirmed any more. Where polls wait in one process alone, too, which knows of the tries of the others by what is left only.
#[test]
fn polls_have_their_turn_however_many_processes_try_and_not_in_vain() {
    for polling in [3, 1] {
        let (mut left, mut answers, mut polls) = (400, 1, 0);
        let mut processes: Vec<_> = (0..3).map(|_| knowing(3600, left)).collect();
        let mut places: Vec<_> = processes.iter_mut().map(|ledger| ledger.queue(Priority::Poll)).collect();
        let idle = processes.iter_mut().zip(&places).skip(polling);
        idle.for_each(|(ledger, place)| ledger.leave(*place));
        for second in 0..3600 {
            left += 1;
            for (number, (ledger, place)) in processes.iter_mut().zip(&mut places).enumerate() {
                if turn(ledger, seconds(second), Priority::BestEffort) == Turn::Go {
                    (left, answers) = (left - 1, answers + 1);
                    let told = rate(3600, left, answers);
                    ledger.ended(seconds(second), want(Priority::BestEffort), Sent::Done, told);
                }
                if number < polling && ledger.turn(seconds(second), *place, want(Priority::Poll), None) == Turn::Go {
                    (left, answers, polls) = (left - 1, answers + 1, polls + 1);
                    ledger.ended(seconds(second), want(Priority::Poll), Sent::Answered, rate(3600, left, answers));
                    *place = ledger.queue(Priority::Poll);
                }
            }
        }
        assert!(polls >= 3_500, "{polls} where they wait in {polling}");
    }
}

/// As where stock has come and what was locked is not any more.
#[test]
fn creates_and_deletes_that_are_not_in_vain_take_every_second_request_together() {
    for (priority, free, most) in [(Priority::Poll, 360, 0), (Priority::Sweep, 1080, 900)] {
        let mut ledger = knowing(3600, free);
        let mut place = ledger.queue(priority);
        let (mut creates, mut deletes, mut others) = (0, 0, 0);
        for second in 0..3600 {
            for is_create in [true, false] {
                let tried = Want { is_create, ..want(Priority::BestEffort) };
                let mine = ledger.queue(Priority::BestEffort);
                if ledger.turn(seconds(second), mine, tried, None) == Turn::Go {
                    ledger.ended(seconds(second), tried, Sent::Done, None);
                    if is_create { creates += 1 } else { deletes += 1 }
                }
                ledger.leave(mine);
            }
            while ledger.turn(seconds(second), place, want(priority), None) == Turn::Go {
                place = ledger.queue(priority);
                others += 1;
            }
        }
        assert!(creates <= most && deletes <= most && others >= 1_700, "{creates}, {deletes}, {others} {priority:?}");
    }
}

/// The one is a wait for stock, and the other an outage.
#[tokio::test(start_paused = true)]
async fn who_has_no_turn_is_told_whether_others_leave_none_or_the_provider_is_not_well() {
    let budget = budget(1);
    let settle = async |sent: Sent, told: Option<RateLimit>| {
        go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(sent, told)
    };
    let why = async |pace: Option<Pace>| {
        let turn = budget.turn(want(Priority::BestEffort), seconds(30), || pace);
        turn.await.unwrap_err().code
    };
    settle(Sent::Answered, rate(3600, 1080, 1)).await;
    assert_eq!(why(None).await, ProviderError::NO_TURN);
    assert_eq!(why(Some(Pace { percent: 10, full_after: seconds(60) })).await, ProviderError::EASING);
    settle(Sent::Throttled(seconds(1)), rate(3600, 0, 2)).await;
    assert_eq!(why(None).await, ProviderError::EASING);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_done_is_not_in_vain_and_one_that_is_refused_is() {
    let provider = crate::memory::MemoryProvider::default();
    let budget = budget(1);
    go(&budget, want(Priority::Settle), seconds(30)).await.unwrap().ended(Sent::Answered, rate(3600, 1080, 1));
    let client = Budgeted::new(Arc::new(provider.clone()), budget);
    let context = RequestContext::new(seconds(30)).with_priority(Priority::BestEffort);
    let id = ProviderServerId::new("7").unwrap();
    let has_turn = async || client.delete(&id, &context).await.is_ok();
    assert!(!has_turn().await);
    tokio::time::advance(seconds(20)).await;
    assert!(has_turn().await, "one of twenty");
    tokio::time::advance(seconds(1)).await;
    assert!(!has_turn().await);
    tokio::time::advance(seconds(1)).await;
    assert!(has_turn().await, "one of two");
    tokio::time::advance(seconds(2)).await;
    let refused = crate::memory::ProviderFault::Refuse(ProviderErrorKind::Busy);
    provider.fail_next(crate::memory::ProviderMethod::Delete, refused);
    assert_eq!(client.delete(&id, &context).await.unwrap_err().kind, ProviderErrorKind::Busy);
    tokio::time::advance(seconds(19)).await;
    assert!(!has_turn().await);
    tokio::time::advance(seconds(1)).await;
    assert!(has_turn().await, "one of twenty");
}
