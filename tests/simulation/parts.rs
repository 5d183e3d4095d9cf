//! A full run in parts: each is a share of all runs, is kept in a file when it is done, and is not run again.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use crate::matrix::Matrix;

/// Is one of so many shares of all runs; every run is in exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub part: usize,
    /// Of how many; 1 is everything.
    pub of: usize,
}

impl Share {
    /// Is everything.
    pub const ALL: Self = Self { part: 0, of: 1 };

    /// Says whether the run with this number is in it.
    #[must_use]
    pub const fn has(self, number: usize) -> bool {
        number % self.of == self.part
    }
}

/// Is what a part found.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// What was tried.
    pub matrix: Matrix,
    /// Runs with one fault.
    pub singles: u64,
    /// Runs with two.
    pub pairs: u64,
    /// Random schedules.
    pub seeds: u64,
    /// Runs that broke a promise.
    pub failed: u64,
    /// Some of them, in words.
    pub failures: Vec<String>,
    /// Processor time, in milliseconds.
    pub cpu_millis: u64,
}

impl Tally {
    /// Adds what another part found.
    pub fn add(&mut self, other: &Self) {
        self.matrix.add(&other.matrix);
        self.singles += other.singles;
        self.pairs += other.pairs;
        self.seeds += other.seeds;
        self.failed += other.failed;
        self.failures.extend_from_slice(&other.failures);
        self.cpu_millis += other.cpu_millis;
    }

    /// Writes it down, to be read back.
    #[must_use]
    pub fn written(&self) -> String {
        let mut text = String::new();
        let counts = [
            ("singles", self.singles),
            ("pairs", self.pairs),
            ("seeds", self.seeds),
            ("failed", self.failed),
            ("cpu_millis", self.cpu_millis),
        ];
        for (name, count) in counts {
            writeln!(text, "{name}\t{count}").unwrap();
        }
        for failure in &self.failures {
            writeln!(text, "failure\t{}", failure.replace(['\n', '\t'], " ")).unwrap();
        }
        text.push_str(&self.matrix.written());
        text
    }

    /// Reads back what was written; none if it is something else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut tally = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let number = |text: &str| text.parse().ok();
            match words[..] {
                ["singles", count] => tally.singles = number(count)?,
                ["pairs", count] => tally.pairs = number(count)?,
                ["seeds", count] => tally.seeds = number(count)?,
                ["failed", count] => tally.failed = number(count)?,
                ["cpu_millis", count] => tally.cpu_millis = number(count)?,
                ["failure", text] => tally.failures.push(text.to_owned()),
                _ => tally.matrix.read(&words)?,
            }
        }
        Some(tally)
    }
}

/// Is where parts are kept.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
    of: String,
}

impl Shelf {
    /// Opens a folder for the parts of this program with these options: those of another build are not counted in.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if the folder cannot be made or the program not be read.
    pub fn open(folder: &Path, options: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut hasher = DefaultHasher::new();
        std::fs::read(std::env::current_exe()?)?.hash(&mut hasher);
        options.hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), of: format!("{:016x}", hasher.finish()) })
    }

    fn file(&self, share: Share) -> PathBuf {
        self.folder.join(format!("{}-part-{}-of-{}.txt", self.of, share.part + 1, share.of))
    }

    /// Returns a part that is done.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it is there and cannot be read.
    pub fn kept(&self, share: Share) -> io::Result<Option<Tally>> {
        match std::fs::read_to_string(self.file(share)) {
            Ok(text) => Tally::read(&text).map(Some).ok_or_else(|| io::Error::other("not a part of a run")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a part.
    ///
    /// # Errors
    ///
    /// [`io::Error`] if it cannot be written.
    pub fn keep(&self, share: Share, tally: &Tally) -> io::Result<()> {
        // A part that was cut off is not taken for a whole one.
        let aside = self.file(share).with_extension("tmp");
        std::fs::write(&aside, tally.written())?;
        std::fs::rename(aside, self.file(share))
    }
}

/// Returns the processor time of this process in milliseconds; none where the system does not say.
#[must_use]
pub fn cpu_millis() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold blanks; what counts comes after it. Ticks are hundredths of a second.
    let (_, rest) = text.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map_while(|word| word.parse::<u64>().ok());
    Some((ticks.next()? + ticks.next()?) * 10)
}
