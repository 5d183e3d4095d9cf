//! Shows how far the orders are: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::orders::TENANTS;

/// Shows the story as it goes on, on the error output: the verdict alone goes to the standard output.
pub(crate) struct Progress {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    shown: u64,
}

impl Progress {
    /// Begins to show, unless there is nobody to look at it.
    pub(crate) fn begin(ordered: &[u64]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bars: None, shown: 0 };
        }
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>8} {bar:30.green} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = TENANTS
            .iter()
            .zip(ordered)
            .map(|(tenant, count)| all.add(ProgressBar::new(*count).with_style(style.clone()).with_prefix(*tenant)))
            .collect();
        Self { bars: Some((all, bars)), shown: 0 }
    }

    /// Shows how many of each tenant's orders are done.
    pub(crate) fn show(&mut self, done: &[u64], total: usize) {
        let sum: u64 = done.iter().sum();
        match &self.bars {
            Some((_, bars)) => bars.iter().zip(done).for_each(|(bar, count)| bar.set_position(*count)),
            None if sum >= self.shown + 5 || (sum > self.shown && sum == total as u64) => {
                self.shown = sum;
                eprintln!("{sum} of {total} done");
            }
            None => {}
        }
    }

    /// Says what happened.
    pub(crate) fn say(&self, what: &str) {
        match &self.bars {
            // A line that cannot be shown above the bars is shown below them.
            Some((all, _)) if all.println(what).is_ok() => {}
            Some(_) | None => eprintln!("{what}"),
        }
    }

    /// Leaves the bars as they are.
    pub(crate) fn end(&self) {
        if let Some((_, bars)) = &self.bars {
            bars.iter().for_each(ProgressBar::abandon);
        }
    }
}
