//! The methods of the ports, and the ways in which a call of one goes wrong.

/// Makes a field-less enum with the names of its variants.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name, as printed and parsed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

named! {
    /// Names a method of a port.
    Method {
        /// `Store::installation`
        Installation = "store.installation",
        /// `Store::commit`
        Commit = "store.commit",
        /// `Store::note`
        Note = "store.note",
        /// `Store::load`
        Load = "store.load",
        /// `Store::operation`
        Operation = "store.operation",
        /// `Store::key`
        Key = "store.key",
        /// `Store::servers`
        Servers = "store.servers",
        /// `Store::operations`
        Operations = "store.operations",
        /// `Store::references`
        References = "store.references",
        /// `Store::locate`
        Locate = "store.locate",
        /// `Store::sightings`
        Sightings = "store.sightings",
        /// `Store::sight`
        Sight = "store.sight",
        /// `Store::stalled`
        Stalled = "store.stalled",
        /// `Store::account`
        Account = "store.account",
        /// `Store::save_account`
        SaveAccount = "store.save_account",
        /// `Store::seal`
        Seal = "store.seal",
        /// The other methods of the store, which no order needs.
        StoreUpkeep = "store.upkeep",
        /// `JobQueue::enqueue`
        Enqueue = "queue.enqueue",
        /// `JobQueue::claim`
        Claim = "queue.claim",
        /// `JobQueue::heartbeat`
        Heartbeat = "queue.heartbeat",
        /// `JobQueue::settle`
        Settle = "queue.settle",
        /// `JobQueue::reap`
        Reap = "queue.reap",
        /// `JobQueue::find`
        FindJob = "queue.find",
        /// The other methods of the queue, which no order needs.
        QueueUpkeep = "queue.upkeep",
        /// `ProviderClient::create`
        Create = "provider.create",
        /// `ProviderClient::find`
        Find = "provider.find",
        /// `ProviderClient::find_labelled`
        FindLabelled = "provider.find_labelled",
        /// `ProviderClient::get`
        Get = "provider.get",
        /// `ProviderClient::delete`
        Delete = "provider.delete",
        /// `ProviderClient::actions`
        Actions = "provider.actions",
        /// `ProviderClient::inventory`
        Inventory = "provider.inventory",
        /// `ProviderClient::catalog`
        Catalog = "provider.catalog",
        /// `AuditSink::deliver`
        Deliver = "audit.deliver",
        /// `Cache::get`
        CacheGet = "cache.get",
        /// `Cache::put`
        CachePut = "cache.put",
        /// `Cache::invalidate`
        CacheInvalidate = "cache.invalidate",
    }
}

named! {
    /// Names a way in which a call goes wrong.
    Kind {
        /// Nothing happens, and the answer says so.
        ErrorBefore = "ErrorBefore",
        /// It happens, and the answer is lost.
        ErrorAfter = "ErrorAfter",
        /// Nothing happens, and nobody knows.
        Lost = "Lost",
        /// The answer is lost now, and it happens later.
        LateEffect = "LateEffect",
        /// The process dies before the call.
        CrashBefore = "CrashBefore",
        /// The process dies when the call has happened.
        CrashAfter = "CrashAfter",
        /// It happens, and then its future is dropped by a shutdown without time.
        Cancel = "Cancel",
        /// The call panics.
        Panic = "Panic",
        /// The process stands still for longer than a lease, and then goes on.
        Stall = "Stall",
        /// It happens twice, and the second answer is given.
        Duplicate = "Duplicate",
        /// A read answers what was true a moment ago.
        StaleRead = "StaleRead",
        /// The answer cannot be understood.
        Malformed = "Malformed",
        /// The answer can be read and is about something else.
        Nonsense = "Nonsense",
    }
}

impl Method {
    /// Says whether it changes something that lasts.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(
            self,
            Self::Commit
                | Self::Note
                | Self::Sight
                | Self::SaveAccount
                | Self::Enqueue
                | Self::Settle
                | Self::Create
                | Self::Delete
                | Self::Deliver
        )
    }

    /// Says whether the enumeration counts its calls: they are on an order's path, and no poll or upkeep.
    #[must_use]
    pub const fn is_on_the_path(self) -> bool {
        self.writes() && !matches!(self, Self::Sight | Self::SaveAccount | Self::Deliver)
            || matches!(
                self,
                Self::Load | Self::Key | Self::Find | Self::FindLabelled | Self::Get | Self::Actions | Self::Operation
            )
    }

    /// Says whether only sweeps and checks of tokens call it.
    #[must_use]
    pub const fn is_of_the_sweep(self) -> bool {
        matches!(
            self,
            Self::References
                | Self::Locate
                | Self::Sightings
                | Self::Sight
                | Self::Stalled
                | Self::Account
                | Self::SaveAccount
                | Self::Inventory
                | Self::FindJob
                | Self::Installation
        )
    }

    /// Says whether a call of it can go wrong in this way.
    #[must_use]
    pub const fn can(self, kind: Kind) -> bool {
        match kind {
            Kind::LateEffect | Kind::Lost => self.writes(),
            Kind::Duplicate => self.writes(),
            Kind::Nonsense => {
                matches!(self, Self::Find | Self::FindLabelled | Self::Get | Self::Actions | Self::CacheGet)
            }
            Kind::StaleRead => {
                matches!(self, Self::Load | Self::Key | Self::Find | Self::FindLabelled | Self::Get | Self::Inventory)
            }
            Kind::ErrorBefore
            | Kind::ErrorAfter
            | Kind::CrashBefore
            | Kind::CrashAfter
            | Kind::Cancel
            | Kind::Panic
            | Kind::Stall
            | Kind::Malformed => true,
        }
    }
}
