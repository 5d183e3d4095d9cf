//! Every bound on what a caller may send, by name; each has a test at n and at n + 1.

/// Longest tenant or account, in bytes: fits a label value of the provider.
pub const WORD_BYTES: usize = 63;
/// Longest display name, in bytes: 63 of a host label less the hyphen and the 12 characters of the id.
pub const DISPLAY_NAME_BYTES: usize = 50;
/// Longest host label, in bytes (RFC 1123).
pub const HOST_LABEL_BYTES: usize = 63;
/// Longest idempotency key, request id or provider id, in bytes.
pub const VISIBLE_BYTES: usize = 255;
/// Longest name of a server type, image, location or SSH key, in bytes.
pub const CATALOG_NAME_BYTES: usize = 100;
/// Most (type, location) candidates of an order: the product of its types and locations.
pub const CANDIDATES: usize = 8;
/// Most SSH keys of an order.
pub const SSH_KEYS: usize = 50;
/// Largest user data, in bytes: the provider's own limit.
pub const USER_DATA_BYTES: usize = 32 * 1024;
/// Most labels of an order, ours not counted.
pub const LABELS: usize = 32;
/// Longest name part of a label's key and longest label value, in bytes.
pub const LABEL_BYTES: usize = 63;
/// Longest prefix of a label's key, in bytes.
pub const LABEL_PREFIX_BYTES: usize = 253;
/// Largest job payload, in bytes of JSON.
pub const JOB_PAYLOAD_BYTES: usize = 256 * 1024;
/// Longest job kind or job key, in bytes.
pub const JOB_NAME_BYTES: usize = 200;
/// Longest code of a failure, in bytes.
pub const CODE_BYTES: usize = 100;
/// Most items of a page.
pub const PAGE: u32 = 200;
/// Longest part of a rejected value that an error shows, in characters.
pub const SHOWN_VALUE_CHARS: usize = 64;
/// Length of a trace context in bytes: version, trace, parent and flags, with hyphens between.
pub const TRACE_PARENT_BYTES: usize = 55;
