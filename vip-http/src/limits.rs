//! Every bound on what a client may send or hold, by name; each is tested at n and at n + 1.

use std::time::Duration;

/// Largest body of a request, in bytes: user data has at most 32 KiB, and JSON may escape each byte of it to six.
pub const BODY_BYTES: usize = 256 * 1024;
/// Longest time that a body may take to arrive.
pub const BODY: Duration = Duration::from_secs(15);
/// Most bytes that are read off, and passed over, behind the last answer of a connection: a client that sends the whole of a body before it
/// reads would else lose a refusal of it to a reset. Four bodies: few that are too large are much larger.
pub const REST_BYTES: usize = 4 * BODY_BYTES;
/// Longest time that a client has for those bytes; until then its connection keeps its place.
pub const REST: Duration = Duration::from_secs(2);
/// Longest head of a request, in bytes: request line and headers together. More is answered 431, without a document.
pub const HEADER_BYTES: usize = 16 * 1024;
/// Most headers of a request. More is answered 431, without a document.
pub const HEADERS: usize = 100;
/// Longest path and query, in bytes.
pub const URI_BYTES: usize = 8 * 1024;
/// Longest time that a request may wait for an operation (`?wait=`), in seconds.
pub const WAIT_SECONDS: u32 = 30;
/// Requests that may wait for an operation at once; one more is answered with the present state, after [`NO_PLACE`].
pub const WAITING_REQUESTS: usize = 1000;
/// Requests of one tenant among them: a tenth, so that ten tenants have to wait that much before another one gets no place.
pub const WAITING_OF_TENANT: usize = 100;
/// How long a request is kept that gets no place to wait, or begins to while the process drains: whoever asks again at once shall not
/// ask all the time.
pub const NO_PLACE: Duration = Duration::from_secs(1);
/// Longest time that a handler may take, what it waits for on purpose and for the provider, a replay, and a verification, not counted.
pub const HANDLER: Duration = Duration::from_secs(10);
/// Longest time that a request waits for a catalog that is loaded; the load goes on, and the next request finds it.
pub const CATALOG: Duration = Duration::from_secs(10);
/// Longest sweep that a request may ask for: 10,000 servers are 200 pages of half a second, and something is looked up besides.
pub const SWEEP: Duration = Duration::from_secs(120);
/// Longest replay of dead jobs: it ends by itself then, and has the time of a handler for the job that it is at.
pub const REPLAY: Duration = vip_core::provisioner::REPLAY_TIME;
/// Longest verification of an audit that a request may ask for. The SDK has no limit.
pub const VERIFY: Duration = Duration::from_secs(600);
/// Items of a page when nobody says how many.
pub const PAGE_DEFAULT: u32 = 50;
/// Longest cursor, in bytes; ours have 44.
pub const CURSOR_BYTES: usize = 64;
/// Longest API key, in bytes; ours have at most 80.
pub const API_KEY_BYTES: usize = 128;
/// Longest id of an API key, in bytes.
pub const API_KEY_ID_BYTES: usize = 32;
/// Most API keys of one process.
pub const API_KEYS: usize = 10_000;
/// How long a report of health is kept: a probe more often than that asks nobody.
pub const HEALTH_KEPT: Duration = Duration::from_secs(1);
/// Most requests that a limit of requests can allow; more is no limit.
pub const RATE_REQUESTS: u32 = 1_000_000;
/// Shortest time of a limit of requests.
pub const RATE_WINDOW_LEAST: Duration = Duration::from_secs(1);
/// Longest time of a limit of requests.
pub const RATE_WINDOW_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// Callers, and tenants, whose requests are counted before those with nothing used up are forgotten.
pub const RATE_KEYS: usize = 10_000;
/// Longest token, in bytes.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// Shortest secret of an HMAC key of tokens, in bytes: as long as what it makes.
pub const TOKEN_SECRET_BYTES: usize = 32;
/// Most keys that tokens may be signed with.
pub const TOKEN_KEYS: usize = 100;
/// Longest difference between the clock of whoever issues tokens and ours.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(5 * 60);
