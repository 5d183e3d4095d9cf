//! Audit records of a tenant and the verification of its chain.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vip_core::model::{ChainHash, ChainHead, SealedRecord};
use vip_core::provisioning::AuditReport;

use crate::problem::{FieldProblem, Problem, ProblemCode};

/// Asks for audit records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Number of the last record that is known already; 0 if nothing is said.
    #[param(minimum = 0)]
    pub(crate) after: u64,
}

/// Is a sealed record.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SealedBody {
    /// Its number in the tenant's chain: 1, 2, 3 … without a gap.
    sequence: u64,
    /// Hash over the previous hash and the record's bytes.
    hash: String,
    /// The exact bytes that were hashed: the record as JSON.
    record: String,
}

impl From<SealedRecord> for SealedBody {
    fn from(sealed: SealedRecord) -> Self {
        Self { sequence: sealed.sequence, hash: sealed.hash.as_str().to_owned(), record: sealed.body }
    }
}

/// Lists sealed records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditBody {
    /// At most 500, in the order of their numbers.
    pub(crate) items: Vec<SealedBody>,
    /// End of the chain, not verified: the last records are those after its number less 500.
    pub(crate) head: HeadBody,
}

/// Digits of a hash of the chain: SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

/// Names the end of a chain.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadBody {
    /// Number of its last record.
    sequence: u64,
    /// Hash of its last record: 64 hexadecimal digits.
    #[schema(min_length = 64, max_length = 64, pattern = "^[0-9a-f]+$")]
    hash: String,
}

impl From<ChainHead> for HeadBody {
    fn from(head: ChainHead) -> Self {
        Self { sequence: head.sequence, hash: head.hash.as_str().to_owned() }
    }
}

impl TryFrom<HeadBody> for ChainHead {
    type Error = Problem;

    /// A hash that cannot be one would be called a fault of the chain, or be taken where nothing is compared with it.
    fn try_from(head: HeadBody) -> Result<Self, Problem> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if head.hash.len() != HASH_DIGITS || !head.hash.bytes().all(is_digit) {
            let rule = format!("must have {HASH_DIGITS} hexadecimal digits, in lower case");
            let error = FieldProblem {
                field: "exported.hash".to_owned(),
                value: head.hash.chars().take(HASH_DIGITS).collect(),
                rule,
            };
            return Err(Problem::new(ProblemCode::Invalid).with_errors(vec![error]));
        }
        Ok(Self::new(head.sequence, ChainHash::from_stored(head.hash)))
    }
}

/// Asks for the verification of a chain.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// The end of the chain as it was exported once; without it a truncation cannot be seen.
    pub(crate) exported: Option<HeadBody>,
}

/// Says whether a chain is whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedBody {
    /// Whether it is.
    pub(crate) whole: bool,
    /// The first thing that does not fit, in words.
    pub(crate) fault: Option<String>,
    /// Records that were checked.
    pub(crate) records: Option<u64>,
    /// Its end: export it.
    pub(crate) head: Option<HeadBody>,
}

impl From<AuditReport> for VerifiedBody {
    fn from(report: AuditReport) -> Self {
        Self { whole: true, fault: None, records: Some(report.records), head: Some(report.head.into()) }
    }
}
