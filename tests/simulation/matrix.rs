//! What was tried and what it did: method × kind, and what commits recorded.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::method::{Kind, Method};
use crate::run::Outcome;

/// Counts faults and what came of them.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    cells: BTreeMap<(Method, Kind), Cell>,
    arms: BTreeMap<[String; 3], u64>,
    reached: BTreeMap<String, u64>,
    waits: u64,
    rests: u64,
    looks: u64,
    /// Runs.
    pub runs: u64,
    /// Port calls.
    pub calls: u64,
}

/// Counts one fault of one method.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    fired: u64,
    differed: u64,
}

impl Matrix {
    /// Counts a run; `usual` is the path of the run without faults.
    pub fn count(&mut self, outcome: &Outcome, usual: u64) {
        self.runs += 1;
        self.calls += outcome.calls;
        for fault in &outcome.fired {
            let cell = self.cells.entry(*fault).or_default();
            cell.fired += 1;
            cell.differed += u64::from(outcome.path != usual);
        }
        for ((verb, effect, ended), count) in &outcome.arms {
            let effect = effect.clone().unwrap_or_else(|| "-".to_owned());
            *self.arms.entry([format!("{verb:?}"), effect, format!("{ended:?}")]).or_default() += count;
        }
        for (name, count) in &outcome.reached {
            *self.reached.entry(name.clone()).or_default() += count;
        }
        self.waits += outcome.waits;
        self.rests += outcome.rests;
        let is_look =
            |method: &&Method| matches!(method, Method::Find | Method::FindLabelled | Method::Get | Method::Actions);
        self.looks += u64::try_from(outcome.counted.iter().filter(is_look).count()).unwrap_or(0);
    }

    /// Returns the steps taken and the answers absorbed.
    #[must_use]
    pub const fn reached(&self) -> &BTreeMap<String, u64> {
        &self.reached
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        for (fault, cell) in &other.cells {
            let mine = self.cells.entry(*fault).or_default();
            mine.fired += cell.fired;
            mine.differed += cell.differed;
        }
        for (arm, count) in &other.arms {
            *self.arms.entry(arm.clone()).or_default() += count;
        }
        for (name, count) in &other.reached {
            *self.reached.entry(name.clone()).or_default() += count;
        }
        self.waits += other.waits;
        self.rests += other.rests;
        self.looks += other.looks;
        self.runs += other.runs;
        self.calls += other.calls;
    }

    /// Writes it down, a line for each count.
    #[must_use]
    pub fn written(&self) -> String {
        let mut text = String::new();
        for ((method, kind), cell) in &self.cells {
            writeln!(text, "cell\t{}\t{}\t{}\t{}", method.as_str(), kind.as_str(), cell.fired, cell.differed).unwrap();
        }
        for ([verb, effect, outcome], count) in &self.arms {
            writeln!(text, "arm\t{verb}\t{effect}\t{outcome}\t{count}").unwrap();
        }
        for (name, count) in &self.reached {
            writeln!(text, "reached\t{name}\t{count}").unwrap();
        }
        let sums = [
            ("waits", self.waits),
            ("rests", self.rests),
            ("looks", self.looks),
            ("runs", self.runs),
            ("calls", self.calls),
        ];
        for (name, count) in sums {
            writeln!(text, "{name}\t{count}").unwrap();
        }
        text
    }

    /// Adds the words of a line that was written; none if it is something else.
    pub fn read(&mut self, words: &[&str]) -> Option<()> {
        let count = |text: &str| text.parse::<u64>().ok();
        match *words {
            ["cell", method, kind, fired, differed] => {
                let method = Method::ALL.iter().find(|it| it.as_str() == method)?;
                let kind = Kind::ALL.iter().find(|it| it.as_str() == kind)?;
                let cell = self.cells.entry((*method, *kind)).or_default();
                cell.fired += count(fired)?;
                cell.differed += count(differed)?;
            }
            ["arm", verb, effect, outcome, text] => {
                *self.arms.entry([verb, effect, outcome].map(str::to_owned)).or_default() += count(text)?;
            }
            ["reached", name, text] => *self.reached.entry(name.to_owned()).or_default() += count(text)?,
            ["waits", text] => self.waits += count(text)?,
            ["rests", text] => self.rests += count(text)?,
            ["looks", text] => self.looks += count(text)?,
            ["runs", text] => self.runs += count(text)?,
            ["calls", text] => self.calls += count(text)?,
            _ => return None,
        }
        Some(())
    }

    /// Names what should have happened and never did: a fault that never fired or never mattered, a step or an
    /// outcome that no run reached.
    #[must_use]
    pub fn zeros(&self, methods: &[Method]) -> Vec<String> {
        let mut zeros = Vec::new();
        for method in methods {
            for kind in Kind::ALL.iter().filter(|kind| method.can(**kind)) {
                let cell = self.cells.get(&(*method, *kind)).copied().unwrap_or_default();
                let name = format!("{} {}", method.as_str(), kind.as_str());
                if cell.fired == 0 {
                    zeros.push(format!("{name} never fired"));
                } else if cell.differed == 0 && !is_harmless(*method, *kind) {
                    zeros.push(format!("{name} never made a difference"));
                }
            }
        }
        for (effect, outcome) in ARMS {
            let seen = self.arms.keys().any(|[_, e, o]| e == effect && o == outcome);
            if !seen {
                zeros.push(format!("absorb({effect}, {outcome}) never happened"));
            }
        }
        zeros
    }
}

/// Arms of `absorb` that commit, by effect and outcome, as the audit records them. Arms that only move the next look
/// commit nothing; they show as looks and waits.
const ARMS: [(&str, &str); 11] = [
    ("create", "Applied"),
    ("create", "Unknown"),
    ("create", "Exhausted"),
    ("create", "NotSent"),
    ("delete", "Applied"),
    ("delete", "Unknown"),
    ("delete", "NotSent"),
    ("look_by_name", "Found"),
    ("look_by_name", "Absent"),
    ("look_by_name", "Foreign"),
    ("look_by_id", "Found"),
];

/// Faults that the product cannot notice, or that leave the path as it is by design.
const fn is_harmless(_method: Method, kind: Kind) -> bool {
    // A second delivery of a write that is idempotent changes nothing: that is the point of it.
    matches!(kind, Kind::Duplicate)
}

impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "fired/differed, by method and kind of fault")?;
        write!(formatter, "{:24}", "")?;
        for kind in Kind::ALL {
            write!(formatter, "{:>16}", kind.as_str())?;
        }
        writeln!(formatter)?;
        for method in Method::ALL {
            if !self.cells.keys().any(|(hit, _)| hit == method) {
                continue;
            }
            write!(formatter, "{:24}", method.as_str())?;
            for kind in Kind::ALL {
                let text = match self.cells.get(&(*method, *kind)) {
                    Some(cell) => format!("{}/{}", cell.fired, cell.differed),
                    None if method.can(*kind) => "0".to_owned(),
                    None => "-".to_owned(),
                };
                write!(formatter, "{text:>16}")?;
            }
            writeln!(formatter)?;
        }
        writeln!(
            formatter,
            "steps: {} looks, {} waits, {} settled jobs; what commits recorded:",
            self.looks, self.waits, self.rests
        )?;
        for ([verb, effect, outcome], count) in &self.arms {
            writeln!(formatter, "{count:>12}  {verb} {effect} {outcome}")?;
        }
        write!(formatter, "{} runs, {} port calls", self.runs, self.calls)
    }
}
