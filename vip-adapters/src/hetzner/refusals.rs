//! What a refusal in the API's own words means: one closed table, which is also what the tests walk.

use http::StatusCode;
use vip_core::ports::ProviderErrorKind as Kind;

use super::call::Call;
use super::error::throttled;

/// What a caller can do after a refusal: [`Kind`] without the time to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Throttled,
    Busy,
    Exhausted,
    AlreadyExists,
    InvalidInput,
    Protected,
    AccountLimit,
    Unauthorized,
    ReadOnly,
    Bug,
    Unknown,
}

/// Whether the refused request changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    No,
    /// Not by this request; perhaps by an earlier one of ours.
    Earlier,
    /// It may have been, or may yet be.
    Perhaps,
}

/// One refusal of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) status: u16,
    /// The code; empty in the rows for codes that have no row of their own.
    pub(crate) code: &'static str,
    /// Whether a create was applied.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests hold the meanings against it"))]
    pub(crate) applied: Applied,
    /// What it means for a create.
    pub(crate) create: Meaning,
    /// What it means for a delete. That a server is not there is read before this table is asked.
    pub(crate) delete: Meaning,
    /// What it means for every other call.
    pub(crate) others: Meaning,
}

const fn row(status: u16, code: &'static str, applied: Applied, create: Meaning, others: Meaning) -> Row {
    Row { status, code, applied, create, delete: others, others }
}

impl Row {
    /// Returns this row with another meaning for a delete.
    const fn deleting(self, delete: Meaning) -> Self {
        Self { delete, ..self }
    }
}

/// Every refusal that we know. Of two rows with one code the first is also the meaning of that code at a 4xx that is in
/// no row.
#[rustfmt::skip]
pub(crate) const ROWS: [Row; 47] = {
    use Applied::{Earlier, No, Perhaps};
    use Meaning::{
        AccountLimit, AlreadyExists, Bug, Busy, Exhausted, InvalidInput, Protected, ReadOnly, Throttled, Unauthorized,
        Unknown,
    };
    [
        row(400, "json_error",                       No,      Bug,           Bug),
        row(401, "unauthorized",                     No,      Unauthorized,  Unauthorized),
        row(401, "token_readonly",                   No,      ReadOnly,      ReadOnly),
        // Only a read tells about the token. Were a create or a delete to close the account, the check of the token would open it
        // again, for the next one to close: nothing would go on in it, however much else is allowed.
        row(403, "forbidden",                        No,      AccountLimit,  Unauthorized).deleting(Protected),
        row(403, "maintenance",                      No,      Busy,          Busy),
        row(403, "resource_limit_exceeded",          No,      AccountLimit,  AccountLimit),
        row(404, "not_found",                        No,      Bug,           Bug),
        row(405, "method_not_allowed",               No,      Bug,           Bug),
        row(409, "uniqueness_error",                 Earlier, AlreadyExists, Busy),
        row(409, "conflict",                         Perhaps, Unknown,       Busy),
        row(410, "deprecated_api_endpoint",          No,      Bug,           Bug),
        row(412, "resource_unavailable",             No,      Exhausted,     Exhausted),
        row(412, "unavailable",                      No,      Exhausted,     Exhausted),
        row(412, "primary_ip_version_mismatch",      No,      InvalidInput,  InvalidInput),
        // Also "unsupported location for server type": wrong for this candidate, perhaps right for the next.
        row(422, "invalid_input",                    No,      InvalidInput,  InvalidInput),
        row(422, "service_error",                    Perhaps, Unknown,       Unknown),
        row(422, "unknown_error",                    Perhaps, Unknown,       Unknown),
        row(422, "unsupported_error",                No,      InvalidInput,  InvalidInput),
        // No host has room for it. We ask for no placement group, so that it is the stock, whatever the status.
        row(422, "placement_error",                  No,      Exhausted,     Exhausted),
        row(422, "primary_ip_assigned",              No,      InvalidInput,  InvalidInput),
        row(422, "primary_ip_datacenter_mismatch",   No,      InvalidInput,  InvalidInput),
        row(422, "server_not_stopped",               No,      InvalidInput,  InvalidInput),
        row(422, "invalid_server_type",              No,      InvalidInput,  InvalidInput),
        row(422, "already_in_placement_group",       No,      InvalidInput,  InvalidInput),
        row(422, "must_be_unassigned",               No,      InvalidInput,  InvalidInput),
        row(422, "no_space_left_in_location",        No,      Exhausted,     Exhausted),
        row(423, "locked",                           No,      Busy,          Busy),
        row(423, "resource_locked",                  No,      Busy,          Busy),
        row(423, "protected",                        No,      Protected,     Protected),
        row(429, "rate_limit_exceeded",              No,      Throttled,     Throttled),
        row(500, "server_error",                     Perhaps, Unknown,       Unknown),
        row(502, "bad_gateway",                      Perhaps, Unknown,       Unknown),
        row(503, "unavailable",                      Perhaps, Unknown,       Unknown),
        row(504, "timeout",                          Perhaps, Unknown,       Unknown),
        // A code of which we know nothing: the status decides.
        row(400, "",                                 No,      Bug,           Bug),
        row(401, "",                                 No,      Unauthorized,  Unauthorized),
        row(403, "",                                 No,      AccountLimit,  Unauthorized).deleting(Protected),
        row(404, "",                                 No,      Bug,           Bug),
        row(405, "",                                 No,      Bug,           Bug),
        row(409, "",                                 Perhaps, Unknown,       Busy),
        row(410, "",                                 No,      Bug,           Bug),
        row(412, "",                                 No,      Exhausted,     Exhausted),
        row(422, "",                                 No,      InvalidInput,  InvalidInput),
        row(423, "",                                 No,      Busy,          Busy),
        row(429, "",                                 No,      Throttled,     Throttled),
        // 408 and whatever else a gateway makes up: it may have passed the request on.
        row(408, "",                                 Perhaps, Unknown,       Unknown),
        row(499, "",                                 Perhaps, Unknown,       Unknown),
    ]
};

/// Says what a refusal means: by its row, else by its code, else by its status, else nothing is promised.
pub(crate) fn classify(call: Call, status: StatusCode, code: &str, limit_per_hour: Option<u64>) -> Kind {
    let row = find(status, code);
    let meaning = match (row, call) {
        (None, _) => Meaning::Unknown,
        (Some(row), Call::Create) => row.create,
        (Some(row), Call::Delete) => row.delete,
        (
            Some(row),
            Call::Find
            | Call::FindLabelled
            | Call::Get
            | Call::Actions
            | Call::Inventory
            | Call::ServerTypes
            | Call::Locations
            | Call::Images
            | Call::Pricing,
        ) => row.others,
    };
    meaning.kind(limit_per_hour)
}

fn find(status: StatusCode, code: &str) -> Option<&'static Row> {
    let of_status = |code: &str| ROWS.iter().find(|row| row.status == status.as_u16() && row.code == code);
    if let Some(row) = of_status(code) {
        return Some(row);
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS => of_status(""),
        _ if status.is_client_error() => ROWS.iter().find(|row| row.code == code).or_else(|| of_status("")),
        // Nothing that is answered outside of 4xx says that nothing was applied, whatever its code.
        _ => None,
    }
}

impl Meaning {
    pub(crate) fn kind(self, limit_per_hour: Option<u64>) -> Kind {
        match self {
            Self::Throttled => throttled(limit_per_hour),
            Self::Busy => Kind::Busy,
            Self::Exhausted => Kind::Exhausted,
            Self::AlreadyExists => Kind::AlreadyExists,
            Self::InvalidInput => Kind::InvalidInput,
            Self::Protected => Kind::Protected,
            Self::AccountLimit => Kind::AccountLimit,
            Self::Unauthorized => Kind::Unauthorized,
            Self::ReadOnly => Kind::ReadOnly,
            Self::Bug => Kind::Bug,
            Self::Unknown => Kind::Unknown,
        }
    }
}
