//! Tests of what is learned of how long creates take.

use super::*;

fn server(n: usize) -> ProviderServerId {
    ProviderServerId::new(n.to_string()).unwrap()
}

fn action(n: usize) -> ProviderActionId {
    ProviderActionId::new(n.to_string()).unwrap()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn usual() -> Usual {
    Usual::new(seconds(11), seconds(3))
}

fn published(usual: &Usual) -> Option<Duration> {
    usual.published().get("small").copied()
}

/// Watches a create that is seen to have ended, and to be open a second before.
fn watch(usual: &mut Usual, n: usize, took: Duration) {
    let start = Instant::now();
    usual.began(&server(n), "small", &[action(n)], start);
    usual.action_is_open(&action(n), start + took.saturating_sub(seconds(1)));
    usual.action_ended(&action(n), start + took);
}

/// Lets a create be seen for the first time when it has ended.
fn see_late(usual: &mut Usual, n: usize, took: Duration) {
    let start = Instant::now();
    usual.began(&server(n), "small", &[action(n)], start);
    usual.action_ended(&action(n), start + took);
}

#[tokio::test(start_paused = true)]
async fn the_usual_time_is_the_median_of_the_last_creates_and_known_after_three() {
    let (mut usual, start) = (usual(), Instant::now());
    for (n, took) in [10, 11, 300].into_iter().enumerate() {
        assert_eq!(published(&usual), None);
        watch(&mut usual, n, seconds(took));
    }
    assert_eq!(published(&usual), Some(seconds(11)));
    for n in 0..SAMPLES {
        usual.began(&server(n), "small", &[], start);
        usual.is_open(&server(n), start + seconds(19));
        usual.is_running(&server(n), start + seconds(20));
    }
    assert_eq!(published(&usual), Some(seconds(20)));
    assert_eq!(usual.learned["small"].samples.len(), SAMPLES);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_too_long_is_not_learned_from_and_one_at_the_bound_is() {
    let mut usual = usual();
    for (n, took) in [LONGEST + Duration::from_micros(1), LONGEST, LONGEST].into_iter().enumerate() {
        watch(&mut usual, n, took);
    }
    assert_eq!(usual.learned["small"].samples.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_not_in_time_is_not_learned_from() {
    let (mut usual, start) = (usual(), Instant::now());
    let in_time = seconds(11 + 3 * 6);
    for (n, took) in [in_time, in_time + Duration::from_micros(1), seconds(480)].into_iter().enumerate() {
        see_late(&mut usual, n, took);
    }
    assert_eq!(usual.learned["small"].samples, [seconds(11)]);
    // Nor is one long after it was seen open.
    usual.began(&server(9), "small", &[action(9)], start);
    usual.action_is_open(&action(9), start + seconds(30));
    usual.action_ended(&action(9), start + seconds(480));
    assert_eq!(usual.learned["small"].samples.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_usual_time_that_is_too_long_comes_down_within_ten_creates_and_no_lower_than_a_create_was_open() {
    let mut usual = usual();
    (0..SAMPLES).for_each(|n| watch(&mut usual, n, seconds(480)));
    assert_eq!(published(&usual), Some(seconds(480)));
    for n in 0..10 {
        let look = published(&usual).unwrap().mul_f64(0.95);
        see_late(&mut usual, n, look);
    }
    assert!(published(&usual).unwrap() < seconds(60), "{usual:?}");
    watch(&mut usual, 0, seconds(70));
    assert!(published(&usual).unwrap() > seconds(60), "{usual:?}");
}

#[tokio::test(start_paused = true)]
async fn creates_that_are_seen_at_their_first_look_make_the_usual_time_no_longer() {
    let mut usual = usual();
    for n in 0..SAMPLES {
        see_late(&mut usual, n, seconds(14));
        // Now and then a look comes early, and finds that the create is open.
        if published(&usual).is_some_and(|figure| figure < seconds(11)) {
            watch(&mut usual, n, seconds(12));
        }
    }
    assert_eq!(published(&usual), Some(seconds(11)));
}

/// Is an order whose create takes 11 s.
struct Order {
    n: usize,
    began: u64,
    look: u64,
    looks: u64,
}

/// Looks come at multiples of three seconds.
fn look(now: u64, delay: u64) -> u64 {
    (now + delay).next_multiple_of(3)
}

/// Lets processes take orders in turn, each looked after by any of them; returns after how long half of them were seen.
fn model(processes: usize, gap: u64) -> u64 {
    let start = Instant::now();
    let mut all: Vec<Usual> = (0..processes).map(|_| usual()).collect();
    let (mut orders, mut seen): (Vec<Order>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut began = Vec::new();
    for now in 0..gap * 300 {
        if now % gap == 0 {
            let n = began.len();
            began.push(now);
            let creator = &mut all[n % processes];
            creator.began(&server(n), "small", &[action(n)], start + seconds(now));
            let delay = published(creator).map_or(seconds(11), |usual| usual.mul_f64(0.95)).as_secs() + 1;
            orders.push(Order { n, began: now, look: look(now, delay), looks: 0 });
        }
        let (due, rest): (Vec<Order>, Vec<Order>) = orders.into_iter().partition(|order| order.look <= now);
        orders = rest;
        for order in due {
            let process = &mut all[order.n / processes % processes];
            let mut asked = process.open_actions(25);
            asked.push(action(order.n));
            for id in asked {
                let n: usize = id.as_str().parse().unwrap();
                if now - began[n] >= 11 {
                    process.action_ended(&id, start + seconds(now));
                } else {
                    process.action_is_open(&id, start + seconds(now));
                }
            }
            if now - order.began >= 11 {
                seen.push(now - order.began);
            } else {
                let delay = 3 * order.looks.clamp(1, 4);
                orders.push(Order { look: look(now, delay), looks: order.looks + 1, ..order });
            }
        }
    }
    seen.sort_unstable();
    seen[seen.len() / 2]
}

#[tokio::test(start_paused = true)]
async fn among_several_processes_too_a_create_of_eleven_seconds_is_seen_within_fifteen() {
    for processes in 1..4 {
        for gap in [1, 20, 61, 301] {
            let half = model(processes, gap);
            assert!(half < 15, "{processes} processes, an order each {gap} s: {half} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_creates_and_types_are_watched_than_the_bounds_say() {
    let (mut usual, start) = (usual(), Instant::now());
    for n in 0..=WATCHED_MOST {
        usual.began(&server(n), "small", &[], start);
    }
    assert_eq!(usual.watched(start), WATCHED_MOST);
    // Those that nobody looked after here make room.
    usual.began(&server(WATCHED_MOST), "small", &[], start + LONGEST + seconds(1));
    assert_eq!(usual.watched(start + LONGEST + seconds(1)), 1);
    let mut usual = self::usual();
    for n in 0..=TYPES_MOST {
        usual.began(&server(n), &format!("type-{n}"), &[], start);
        usual.is_running(&server(n), start);
    }
    assert_eq!(usual.learned.len(), TYPES_MOST);
}

#[tokio::test(start_paused = true)]
async fn open_actions_are_those_that_have_not_ended_and_whose_server_is_still_wanted() {
    let (mut usual, start) = (usual(), Instant::now());
    for n in 0..4 {
        usual.began(&server(n), "small", &[action(n), action(n + 10)], start);
    }
    usual.action_ended(&action(0), start);
    usual.removed(&server(1));
    usual.is_running(&server(2), start);
    assert_eq!(usual.open_actions(9), [action(10), action(3), action(13)]);
    assert_eq!(usual.open_actions(2), [action(10), action(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_actions_have_ended_is_new_until_it_is_seen_running() {
    let (mut usual, start) = (usual(), Instant::now());
    usual.began(&server(1), "small", &[action(1)], start);
    usual.action_ended(&action(1), start);
    assert!(usual.watches(&server(1)));
    usual.is_running(&server(1), start);
    assert!(!usual.watches(&server(1)));
}
