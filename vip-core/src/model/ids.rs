//! One newtype for each identifier that we make ourselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that came from a store or from an injected source of randomness.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// Names a server of ours, from accept to its tombstone; time-ordered (UUID version 7).
    ServerId
}
id! {
    /// Names what a caller polls until it is done; time-ordered (UUID version 7).
    OperationId
}
id! {
    /// Names a durable unit of work; time-ordered (UUID version 7).
    JobId
}
id! {
    /// Names one commit: the stamp of the version that it made, and the identity of its audit record.
    ChangeId
}
id! {
    /// Names one claim on a job; random, so that two histories of one store cannot share it.
    ClaimId
}
id! {
    /// Names one announced effect at the provider.
    IntentId
}
id! {
    /// Names this installation at the provider; random, made by the first migration.
    InstallationId
}

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl ServerId {
    /// Returns the last 12 base32 characters of the id: 60 random bits.
    #[must_use]
    pub fn suffix(&self) -> String {
        let bits = self.0.as_u128();
        (0..12)
            .rev()
            .map(|place| {
                let digit = usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0);
                BASE32.get(digit).map_or('a', |byte| char::from(*byte))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_is_the_last_sixty_bits() {
        let low = ServerId::from_uuid(Uuid::from_u128(0b11111));
        assert_eq!(low.suffix(), "aaaaaaaaaaa7");
        let all = ServerId::from_uuid(Uuid::from_u128(u128::MAX));
        assert_eq!(all.suffix(), "777777777777");
        let above = ServerId::from_uuid(Uuid::from_u128(1 << 60));
        assert_eq!(above.suffix(), "aaaaaaaaaaaa");
    }
}
