//! The kinds of calls: what a call is decides what its answer means.

/// Names a kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Create,
    Find,
    FindLabelled,
    Get,
    Delete,
    Actions,
    Inventory,
    ServerTypes,
    Locations,
    Images,
    Pricing,
}

impl Call {
    /// All kinds.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const ALL: [Self; 11] = [
        Self::Create,
        Self::Find,
        Self::FindLabelled,
        Self::Get,
        Self::Delete,
        Self::Actions,
        Self::Inventory,
        Self::ServerTypes,
        Self::Locations,
        Self::Images,
        Self::Pricing,
    ];

    /// Returns the stable name, as logged.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Find => "find",
            Self::FindLabelled => "find_labelled",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::Actions => "actions",
            Self::Inventory => "inventory",
            Self::ServerTypes => "server_types",
            Self::Locations => "locations",
            Self::Images => "images",
            Self::Pricing => "pricing",
        }
    }
}
