//! The words that the simulation is called with: each is known and has a value that can be read, or nothing is run.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::orders::Order;

/// Says how the program is called.
pub const USAGE: &str = "\
usage: tests/run simulation [OPTIONS]
       tests/run simulation --replay LINE     one run again, call by call
       tests/run simulation --seed SEED       one random schedule again
       tests/run simulation --gate            hunt the seeded bugs; VIP_SIMULATION_GATE=1 makes the build for it

  --order NAME         this order alone
  --one-pair-of N      every Nth pair; 1 unless told: of the reference orders all
                       that begin with a fault that comes once
  --seeds N            random schedules; 1000000 unless told
  --threads N          2 unless told
  --parts N            in so many parts, one after the other
  --part N             this one alone, from 1
  --keep FOLDER        where parts are kept; what is done is not run again
  --sum                add up the parts that are done, and run none
  --bug NAME           with --gate or --replay: this seeded bug
  --help               this text
";

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Text,
    Number,
    Order,
}

const OPTIONS: [(&str, Takes); 13] = [
    ("--replay", Takes::Text),
    ("--seed", Takes::Number),
    ("--gate", Takes::Nothing),
    ("--order", Takes::Order),
    ("--one-pair-of", Takes::Number),
    ("--seeds", Takes::Number),
    ("--threads", Takes::Number),
    ("--parts", Takes::Number),
    ("--part", Takes::Number),
    ("--keep", Takes::Text),
    ("--sum", Takes::Nothing),
    ("--bug", Takes::Text),
    ("--help", Takes::Nothing),
];

/// Says what is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misuse(String);

impl Misuse {
    /// Says it in words.
    #[must_use]
    pub const fn new(what: String) -> Self {
        Self(what)
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Holds the options of a call, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(BTreeMap<&'static str, String>);

impl CommandLine {
    /// Reads the words of a call, without the program's name.
    ///
    /// # Errors
    ///
    /// [`Misuse`] names the first word that is not known, has no value or one that cannot be read, or comes twice.
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, Misuse> {
        let mut words = words.into_iter();
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let wanted = if word == "-h" { "--help" } else { &word };
            let Some((name, takes)) = OPTIONS.into_iter().find(|(name, _)| *name == wanted) else {
                return Err(Misuse(format!("no such option: {word}")));
            };
            let value = match takes {
                Takes::Nothing => String::new(),
                Takes::Text | Takes::Number | Takes::Order => words
                    .next()
                    .filter(|value| !value.starts_with("--"))
                    .ok_or_else(|| Misuse(format!("{name} needs a value")))?,
            };
            check(name, takes, &value)?;
            if options.insert(name, value).is_some() {
                return Err(Misuse(format!("{name} comes twice")));
            }
        }
        Ok(Self(options))
    }

    /// Says whether an option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the text of an option.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the number of an option, or the usual one.
    #[must_use]
    pub fn number(&self, name: &str, usual: u64) -> u64 {
        self.text(name).map_or(usual, |text| text.parse().expect("a number, as checked"))
    }

    /// Reads the value of an option, if it was given.
    ///
    /// # Errors
    ///
    /// [`Misuse`] if it cannot be read.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Misuse>
    where
        T::Err: fmt::Display,
    {
        let unreadable = |error: T::Err| Misuse(format!("the value of {name} cannot be read: {error}"));
        self.text(name).map(|text| text.parse().map_err(unreadable)).transpose()
    }
}

fn check(name: &str, takes: Takes, value: &str) -> Result<(), Misuse> {
    match takes {
        Takes::Number if value.parse::<u64>().is_err() => {
            Err(Misuse(format!("the value of {name} is no number: {value}")))
        }
        Takes::Order if Order::every().all(|order| order.as_str() != value) => {
            let known: Vec<&str> = Order::every().map(Order::as_str).collect();
            Err(Misuse(format!("no such order: {value}; known are {}", known.join(", "))))
        }
        Takes::Nothing | Takes::Text | Takes::Number | Takes::Order => Ok(()),
    }
}
