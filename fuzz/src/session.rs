//! Runs a target over mutated seeds for some time and keeps the first input that breaks it.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Target;
use crate::mutate;

/// When a session ends.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// After this time.
    Time(Duration),
    /// After this many mutated inputs: the same inputs on every machine.
    Inputs(u64),
}

/// How a session ended.
#[derive(Debug)]
pub struct Report {
    /// How many inputs ran, seeds included.
    pub inputs: u64,
    /// How long it took.
    pub duration: Duration,
    /// The input that broke the target.
    pub broken_by: Option<Vec<u8>>,
}

/// Reads the seeds of a target from `seeds/<name>/`, in the order of their names.
///
/// # Errors
///
/// What the file system says; an empty folder is [`io::ErrorKind::NotFound`].
pub fn read_seeds(folder: &Path, target: Target) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder.join(target.name))? {
        paths.push(entry?.path());
    }
    paths.sort();
    if paths.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} has no seeds", target.name)));
    }
    paths.iter().map(fs::read).collect()
}

/// Runs the seeds as they are, then mutated ones until the limit.
#[must_use]
pub fn run(target: Target, seeds: &[Vec<u8>], limit: Limit, seed: u64) -> Report {
    #[expect(clippy::disallowed_methods, reason = "a fuzz session takes real time and has no clock to inject")]
    let began = Instant::now();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut inputs = 0;
    let mut broken_by = None;
    let is_over = |mutated: u64| match limit {
        Limit::Time(time) => began.elapsed() >= time,
        Limit::Inputs(most) => mutated >= most,
    };
    let mut as_they_are = seeds.iter().cloned();
    let mut mutated = 0;
    loop {
        let input = match as_they_are.next() {
            Some(seed) => seed,
            None if is_over(mutated) => break,
            None => {
                mutated += 1;
                mutate::input(seeds, &mut rng)
            }
        };
        inputs += 1;
        if panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            broken_by = Some(input);
            break;
        }
    }
    Report { inputs, duration: began.elapsed(), broken_by }
}

/// Keeps an input in `artifacts/<name>/`, where cargo-fuzz keeps its own, and returns its path.
///
/// # Errors
///
/// What the file system says.
pub fn keep(folder: &Path, target: Target, input: &[u8]) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let folder = folder.join(target.name);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("crash-{:016x}", hasher.finish()));
    fs::write(&path, input)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Target = Target { name: "fine", run: |_| {} };
    const BREAKS: Target = Target { name: "breaks", run: |input| assert!(input.len() > 2, "too short") };

    #[test]
    fn a_session_runs_the_seeds_and_then_as_many_inputs_as_it_may() {
        let report = run(FINE, &[b"abc".to_vec()], Limit::Inputs(100), 1);
        assert_eq!(report.inputs, 101);
        assert_eq!(report.broken_by, None);
    }

    #[test]
    fn a_session_without_time_still_runs_the_seeds() {
        let report = run(FINE, &[b"abc".to_vec(), b"d".to_vec()], Limit::Time(Duration::ZERO), 1);
        assert_eq!(report.inputs, 2);
    }

    #[test]
    fn an_input_that_breaks_the_target_ends_the_session_and_is_kept() {
        let report = run(BREAKS, &[b"abc".to_vec()], Limit::Inputs(10_000), 1);
        let input = report.broken_by.unwrap();
        assert!(input.len() <= 2);
        let folder = tempfile::tempdir().unwrap();
        let path = keep(folder.path(), BREAKS, &input).unwrap();
        assert_eq!(fs::read(path).unwrap(), input);
    }

    #[test]
    fn a_target_without_seeds_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_seeds(folder.path(), FINE).is_err());
        fs::create_dir(folder.path().join("fine")).unwrap();
        assert!(read_seeds(folder.path(), FINE).is_err());
    }
}
