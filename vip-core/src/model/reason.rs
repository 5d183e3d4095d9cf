//! Why something waits, failed or is parked: closed lists with stable names.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Returns the stable name, as stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Finds a reason by its stable name.
            #[must_use]
            pub fn from_name(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Says why a server waits; shown to whoever asks why it is not done.
    WaitReason {
        /// Accepted; no worker has taken it up yet.
        Queued = "queued",
        /// A request of an earlier attempt may still be answered.
        RequestInFlight = "request_in_flight",
        /// The account's token is not checked, refused, or shows another project.
        AccountBlocked = "account_blocked",
        /// The provider asked to wait, was not reached, or failed.
        ProviderUnavailable = "provider_unavailable",
        /// The provider limits requests: it said so, or they wait for their turn here.
        Throttled = "throttled",
        /// The resource is locked by other work at the provider.
        Busy = "busy",
        /// Looking for a create whose answer was lost.
        LookingForCreate = "looking_for_create",
        /// No acceptable type is in stock at an acceptable location.
        NoStock = "no_stock",
        /// The provider works on it.
        ProviderWorking = "provider_working",
        /// The provider has accepted the delete and has not finished it.
        RemovalInProgress = "removal_in_progress",
        /// The provider answers the delete with a refusal; it is asked again.
        RemovalRefused = "removal_refused",
        /// A create without an answer may still land; absence is not proven yet.
        Quarantine = "quarantine",
        /// The provider does not show the server yet.
        NotVisibleYet = "not_visible_yet",
        /// Waits for an operator or for its cause to go away.
        Parked = "parked",
    }
}

reasons! {
    /// Says why an order failed.
    FailReason {
        /// The provider refused the order in every acceptable form.
        Rejected = "rejected",
        /// No acceptable type was in stock for as long as the order was willing to wait.
        NoStock = "no_stock",
        /// The provider's own work on the create ended in error.
        ProviderFailed = "provider_failed",
        /// The server was there and did not run in time.
        CreateTimeout = "create_timeout",
        /// The server vanished before it ran.
        Vanished = "vanished",
    }
}

reasons! {
    /// Says why a server is parked.
    ParkReason {
        /// A server that is not ours has our name.
        ForeignName = "foreign_name",
        /// A server has our labels and was created from another order.
        SpecMismatch = "spec_mismatch",
        /// Our name is taken for an hour by something that cannot be seen.
        NameTakenUnseen = "name_taken_unseen",
        /// The account's own limit is reached.
        ProviderLimit = "provider_limit",
        /// The server is protected at the provider.
        Protected = "protected",
        /// More than one thing could be ours.
        Ambiguous = "ambiguous",
        /// The store was restored from a backup; an operator has to confirm.
        Restored = "restored",
        /// The job failed for good; a replay or a new command ends this.
        HandlerFailed = "handler_failed",
    }
}
