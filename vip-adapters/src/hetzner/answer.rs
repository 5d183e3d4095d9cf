//! Reads an answer of the API: a body that is exactly what was asked for, or why there is none. Pure.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::de::DeserializeOwned;
use vip_core::ports::ProviderErrorKind;

use super::call::Call;
use super::error::{BodyError, CallError, safe_code, status_code, throttled};
use super::refusals::classify;
use super::wire::{Object, Refusal};

/// Longest correlation id that is kept, in bytes.
pub(crate) const CORRELATION_ID_BYTES: usize = 128;

/// Reads what was asked for; `convert` turns the decoded body into it.
pub(crate) fn read<W: DeserializeOwned, T>(
    call: Call,
    response: &Response<Bytes>,
    convert: impl FnOnce(W) -> Result<T, BodyError>,
) -> Result<T, CallError> {
    if !response.status().is_success() {
        return Err(refusal(call, response));
    }
    decode(response.body()).and_then(convert).map_err(|source| unreadable(response, source))
}

/// Decodes the whole of a body; unlike serde by itself, also the parts that are ignored must be text.
fn decode<W: DeserializeOwned>(body: &[u8]) -> Result<W, BodyError> {
    let text = std::str::from_utf8(body)?;
    let Object(decoded) = serde_json::from_str(text)?;
    Ok(decoded)
}

/// Reads what was asked for, or that the API itself says that it is not there.
pub(crate) fn read_if_there<W: DeserializeOwned, T>(
    call: Call,
    response: &Response<Bytes>,
    convert: impl FnOnce(W) -> Result<T, BodyError>,
) -> Result<Option<T>, CallError> {
    match read(call, response, convert) {
        Ok(found) => Ok(Some(found)),
        // A 404 in other words comes from something in between, which knows nothing of our servers.
        Err(CallError::Refused { status: StatusCode::NOT_FOUND, code, .. }) if code == "not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the provider's id of the request: visible ASCII and not too long, else none.
pub(crate) fn correlation_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-correlation-id")?.as_bytes();
    let is_good = !id.is_empty() && id.len() <= CORRELATION_ID_BYTES && id.iter().all(u8::is_ascii_graphic);
    is_good.then(|| id.iter().copied().map(char::from).collect())
}

fn refusal(call: Call, response: &Response<Bytes>) -> CallError {
    let status = response.status();
    let limit_per_hour = limit_per_hour(response.headers());
    let (kind, code) = match (decode::<Refusal>(response.body()), status) {
        (Ok(refusal), _) => {
            let code = safe_code(&refusal.error.0.code);
            (classify(call, status, code, limit_per_hour), code.to_owned())
        }
        // A gateway that limits or asks for a token has not passed the request on.
        (Err(_), StatusCode::TOO_MANY_REQUESTS) => (throttled(limit_per_hour), status_code(status)),
        // Only the API knows our token: whatever something in between wants closes the account for nobody else.
        (Err(_), StatusCode::UNAUTHORIZED) => (ProviderErrorKind::NotSent, status_code(status)),
        // Not in the API's words: something in between, of which nobody promised what it has passed on.
        (Err(error), _) => return unreadable(response, error),
    };
    CallError::Refused { kind, status, code, correlation_id: correlation_id(response.headers()) }
}

fn unreadable(response: &Response<Bytes>, source: BodyError) -> CallError {
    CallError::Unreadable { status: response.status(), correlation_id: correlation_id(response.headers()), source }
}

fn limit_per_hour(headers: &HeaderMap) -> Option<u64> {
    // A limit that is no number is as good as none: the default applies.
    headers.get("ratelimit-limit")?.to_str().ok()?.trim().parse().ok()
}
