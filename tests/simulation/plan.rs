//! What goes wrong in a run: faults by the ordinal of the call that they hit.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::method::Kind;

/// Says how a call goes wrong, and whether its likes do too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// How.
    pub kind: Kind,
    /// Whether further calls of the same method go wrong too, until healed.
    pub lasting: bool,
}

/// Is the list of faults of a run: ordinal of a call, counted in the run itself → fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan(pub BTreeMap<u32, Fault>);

impl Plan {
    /// Makes a plan of these faults.
    #[must_use]
    pub fn of(faults: &[(u32, Fault)]) -> Self {
        Self(faults.iter().copied().collect())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (ordinal, fault)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let lasting = if fault.lasting { "*" } else { "" };
            write!(formatter, "{comma}{ordinal}:{}{lasting}", fault.kind.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (ordinal, name) = part.split_once(':').ok_or_else(|| format!("no fault: {part}"))?;
            let ordinal = ordinal.parse().map_err(|error| format!("{part}: {error}"))?;
            let (name, lasting) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
            let kind = Kind::ALL.iter().find(|kind| kind.as_str() == name).ok_or_else(|| format!("no kind: {name}"))?;
            plan.0.insert(ordinal, Fault { kind: *kind, lasting });
        }
        Ok(plan)
    }
}
