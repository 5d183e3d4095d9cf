//! The simulation at full length or in parts, or one run again: `--replay LINE`, `--seed SEED` for a random schedule.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for a terminal; it fails by panicking")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use vip_simulation::command_line::{CommandLine, Misuse, USAGE};
use vip_simulation::exhaustive::{Extent, enumerate};
use vip_simulation::method::Method;
use vip_simulation::orders::Order;
use vip_simulation::parts::{Share, Shelf, Tally, cpu_millis};
use vip_simulation::run::{Outcome, Setup, Trace, run, silence_planned_panics};
use vip_simulation::swarm;

/// Threads, where `--threads` says nothing.
const THREADS: usize = 2;
/// Random schedules, where `--seeds` says nothing.
const SEEDS: u64 = 1_000_000;

/// Exit code of a call that was not understood.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let called = CommandLine::read(std::env::args().skip(1)).and_then(|called| run_called(&called));
    called.unwrap_or_else(|misuse| {
        eprint!("{misuse}\n\n{USAGE}");
        ExitCode::from(MISUSED)
    })
}

/// Runs what the options ask for; what is wrong with them is found before anything is run.
fn run_called(called: &CommandLine) -> Result<ExitCode, Misuse> {
    if called.has("--help") {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    silence_planned_panics();
    let threads = usize::try_from(called.number("--threads", 2)).unwrap_or(THREADS);
    if let Some(setup) = called.parsed::<Setup>("--replay")? {
        #[cfg(vip_seeded_bugs)]
        vip_core::seeded_bugs::activate(called.text("--bug").and_then(vip_core::seeded_bugs::parse));
        return Ok(show(&run(&setup, Trace::Lines)));
    }
    if called.has("--seed") {
        return Ok(show(&swarm::run(called.number("--seed", 1), Trace::Lines)));
    }
    if called.has("--gate") {
        return Ok(gate(called.text("--bug"), threads));
    }
    let of = usize::try_from(called.number("--parts", 1)).expect("a number of parts").max(1);
    let part = called.number("--part", 0);
    if usize::try_from(part).map_or(true, |part| part > of) {
        return Err(Misuse::new(format!("--part {part} is not one of {of} parts")));
    }
    let extent = Extent {
        seed: 1,
        one_pair_of: called.number("--one-pair-of", 1),
        one_single_of: 1,
        share: Share::ALL,
        threads,
    };
    let only = called.text("--order").map(str::to_owned);
    Ok(run_parts(called, &Plan { extent, seeds: called.number("--seeds", SEEDS), only }, of))
}

/// Runs the parts that are asked for and not done, and sums up.
fn run_parts(called: &CommandLine, plan: &Plan, of: usize) -> ExitCode {
    let options = format!("{} {} {:?}", plan.extent.one_pair_of, plan.seeds, plan.only);
    let shelf = called.text("--keep").map(|folder| Shelf::open(folder.as_ref(), &options).expect("a folder for parts"));
    let part = called.number("--part", 0);
    let parts = (0..of).filter(|it| part == 0 || usize::try_from(part) == Ok(*it + 1));
    let (mut sum, mut done) = (Tally::default(), 0);
    for share in parts.map(|part| Share { part, of }) {
        let kept = shelf.as_ref().and_then(|shelf| shelf.kept(share).expect("a part that can be read"));
        if kept.is_none() && called.has("--sum") {
            continue;
        }
        let tally = kept.unwrap_or_else(|| {
            let tally = plan.run(share);
            if let Some(shelf) = &shelf {
                shelf.keep(share, &tally).expect("a part that can be kept");
            }
            tally
        });
        sum.add(&tally);
        done += 1;
    }
    verdict(&sum, done == of && plan.only.is_none(), done, of)
}

/// Is what shall be run.
struct Plan {
    extent: Extent,
    seeds: u64,
    only: Option<String>,
}

impl Plan {
    /// Runs a share of it.
    fn run(&self, share: Share) -> Tally {
        let mut tally = Tally::default();
        let before = cpu_millis().unwrap_or(0);
        for order in Order::every().filter(|order| self.only.as_deref().is_none_or(|only| only == order.as_str())) {
            let begin = Instant::now();
            let found = enumerate(order, Extent { share, ..self.extent });
            println!(
                "part {} of {}: {}: {} singles, {} pairs, {} failed, {:.1} s",
                share.part + 1,
                share.of,
                order.as_str(),
                found.singles,
                found.pairs,
                found.failed,
                begin.elapsed().as_secs_f64(),
            );
            found.failures.iter().for_each(|failure| println!("{failure}"));
            tally.singles += found.singles;
            tally.pairs += found.pairs;
            tally.failed += found.failed;
            tally.failures.extend(found.failures);
            tally.matrix.add(&found.matrix);
        }
        swarms(self.seeds, self.extent.threads, share, &mut tally);
        tally.cpu_millis = cpu_millis().unwrap_or(0).saturating_sub(before);
        tally
    }
}

/// Prints what was found; a zero in the matrix is a failure only when everything was run.
fn verdict(sum: &Tally, is_whole: bool, done: usize, of: usize) -> ExitCode {
    println!("{}", sum.matrix);
    let methods: Vec<Method> =
        Method::ALL.iter().copied().filter(|it| it.is_on_the_path() || it.is_of_the_sweep()).collect();
    let zeros = sum.matrix.zeros(&methods);
    zeros.iter().for_each(|zero| println!("ZERO: {zero}"));
    sum.failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    println!(
        "{done} of {of} parts: {} singles, {} pairs, {} random schedules; {:.0} runs per second of processor time",
        sum.singles,
        sum.pairs,
        sum.seeds,
        rate(sum.matrix.runs, sum.cpu_millis),
    );
    println!("{} runs failed, {} zeros", sum.failed, zeros.len());
    if sum.failed == 0 && (zeros.is_empty() || !is_whole) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(runs: u64, cpu_millis: u64) -> f64 {
    runs as f64 * 1000.0 / cpu_millis.max(1) as f64
}

fn swarms(seeds: u64, threads: usize, share: Share, tally: &mut Tally) {
    let begin = Instant::now();
    let (next, failed, all) = (AtomicU64::new(1), AtomicU64::new(0), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        break;
                    }
                    if !share.has(usize::try_from(seed).unwrap_or(usize::MAX)) {
                        continue;
                    }
                    let outcome = swarm::run(seed, Trace::Off);
                    mine.matrix.count(&outcome, 0);
                    mine.seeds += 1;
                    mine.failed += u64::from(!outcome.violations.is_empty());
                    if !outcome.violations.is_empty() && failed.fetch_add(1, Ordering::Relaxed) < 10 {
                        let text =
                            format!("tests/run simulation --seed {seed}\n    {}", outcome.violations.join("\n    "));
                        println!("{text}");
                        mine.failures.push(text);
                    }
                }
                all.lock().expect("no thread panicked").add(&mine);
            });
        }
    });
    let all = all.into_inner().expect("no thread panicked");
    let seconds = begin.elapsed().as_secs_f64();
    println!("swarm: {} seeds, {} failed, {seconds:.1} s", all.seeds, all.failed);
    tally.add(&all);
}

#[cfg(not(vip_seeded_bugs))]
fn gate(_only: Option<&str>, _threads: usize) -> ExitCode {
    println!("the gate needs a build with RUSTFLAGS='--cfg vip_seeded_bugs'");
    ExitCode::FAILURE
}

/// Hunts every seeded bug, and fails unless each is caught, and only those break orders without faults that may.
#[cfg(vip_seeded_bugs)]
fn gate(only: Option<&str>, threads: usize) -> ExitCode {
    let bugs: Vec<_> =
        vip_core::seeded_bugs::all().iter().filter(|bug| only.is_none_or(|it| it == bug.name())).collect();
    let (next, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) =
                    bugs.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX))
                {
                    let began = Instant::now();
                    let verdict = vip_simulation::gate::hunt(**bug);
                    let unexpected = bug.passes_without_faults() && !verdict.breaks_without_faults.is_empty();
                    let runs = verdict.runs.map_or("MISSED".to_owned(), |runs| format!("{runs} runs"));
                    let note = if unexpected { " BREAKS WITHOUT A FAULT" } else { "" };
                    let seconds = began.elapsed().as_secs_f64();
                    println!(
                        "{:30} {runs:>10} {seconds:6.1} s{note} {:?} {}",
                        bug.name(),
                        verdict.breaks_without_faults,
                        verdict.caught_by
                    );
                    wrong.fetch_add(u64::from(unexpected || verdict.runs.is_none()), Ordering::Relaxed);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner();
    if only.is_none() {
        let reached = vip_simulation::arms::survey();
        reached.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
        for missed in vip_simulation::arms::missed(&reached) {
            println!("ZERO: {missed}");
            wrong += 1;
        }
    }
    println!("{} bugs, {wrong} not caught or not as expected, {:.0} s", bugs.len(), begin.elapsed().as_secs_f64());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(outcome: &Outcome) -> ExitCode {
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!("{} calls, {} counted, {:?}", outcome.calls, outcome.counted.len(), outcome.took);
    println!("faults: {:?}\nbroken: {:?}", outcome.fired, outcome.violations);
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
