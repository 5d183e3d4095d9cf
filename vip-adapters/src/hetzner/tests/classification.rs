//! Each row of the API's table of errors, as a call sees it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use serde_json::json;
use vip_core::ports::{ProviderError, ProviderErrorKind as Kind};

use super::super::answer::{CORRELATION_ID_BYTES, correlation_id, read};
use super::super::call::Call;
use super::super::error::{CODE_BYTES, THROTTLE_LEAST, THROTTLE_MOST, safe_code, throttled};
use super::super::wire;
use super::response;

const ONE_SECOND: Kind = Kind::Throttled { retry_after: Duration::from_secs(1) };

/// Status, code, what it means for a create, what it means for every other call.
const TABLE: [(u16, &str, Kind, Kind); 44] = [
    (400, "json_error", Kind::Bug, Kind::Bug),
    (401, "unauthorized", Kind::Unauthorized, Kind::Unauthorized),
    (401, "token_readonly", Kind::ReadOnly, Kind::ReadOnly),
    (403, "forbidden", Kind::Unauthorized, Kind::Unauthorized),
    (403, "maintenance", Kind::Busy, Kind::Busy),
    (403, "resource_limit_exceeded", Kind::AccountLimit, Kind::AccountLimit),
    (404, "not_found", Kind::Bug, Kind::Bug),
    (405, "method_not_allowed", Kind::Bug, Kind::Bug),
    (409, "uniqueness_error", Kind::AlreadyExists, Kind::Busy),
    (409, "conflict", Kind::Unknown, Kind::Busy),
    (410, "deprecated_api_endpoint", Kind::Bug, Kind::Bug),
    (412, "resource_unavailable", Kind::Exhausted, Kind::Exhausted),
    (412, "unavailable", Kind::Exhausted, Kind::Exhausted),
    (412, "primary_ip_version_mismatch", Kind::Exhausted, Kind::Exhausted),
    (422, "invalid_input", Kind::InvalidInput, Kind::InvalidInput),
    (422, "service_error", Kind::Unknown, Kind::Unknown),
    (422, "unsupported_error", Kind::InvalidInput, Kind::InvalidInput),
    (422, "placement_error", Kind::Placement, Kind::Placement),
    (422, "primary_ip_assigned", Kind::InvalidInput, Kind::InvalidInput),
    (422, "server_not_stopped", Kind::InvalidInput, Kind::InvalidInput),
    (422, "unknown_error", Kind::Unknown, Kind::Unknown),
    (423, "locked", Kind::Busy, Kind::Busy),
    (423, "resource_locked", Kind::Busy, Kind::Busy),
    (423, "protected", Kind::Protected, Kind::Protected),
    (429, "rate_limit_exceeded", ONE_SECOND, ONE_SECOND),
    (500, "server_error", Kind::Unknown, Kind::Unknown),
    (502, "bad_gateway", Kind::Unknown, Kind::Unknown),
    (503, "unavailable", Kind::Unknown, Kind::Unknown),
    (504, "timeout", Kind::Unknown, Kind::Unknown),
    // A code of which we know nothing: the status decides.
    (400, "new", Kind::Bug, Kind::Bug),
    (401, "new", Kind::Unauthorized, Kind::Unauthorized),
    (403, "new", Kind::Unauthorized, Kind::Unauthorized),
    (404, "new", Kind::Bug, Kind::Bug),
    (408, "new", Kind::Unknown, Kind::Unknown),
    (409, "new", Kind::Unknown, Kind::Busy),
    (412, "new", Kind::Exhausted, Kind::Exhausted),
    (422, "new", Kind::InvalidInput, Kind::InvalidInput),
    (423, "new", Kind::Busy, Kind::Busy),
    (429, "new", ONE_SECOND, ONE_SECOND),
    (500, "new", Kind::Unknown, Kind::Unknown),
    // Outside of 4xx no code is a promise.
    (302, "uniqueness_error", Kind::Unknown, Kind::Unknown),
    (500, "resource_unavailable", Kind::Unknown, Kind::Unknown),
    (503, "rate_limit_exceeded", Kind::Unknown, Kind::Unknown),
    (599, "unauthorized", Kind::Unknown, Kind::Unknown),
];

fn refusal(status: u16, code: &str) -> Response<Bytes> {
    response(status, &json!({"error": {"code": code, "message": "words", "details": {}}}).to_string())
}

fn error(call: Call, response: &Response<Bytes>) -> ProviderError {
    read::<wire::ServerOnly, ()>(call, response, |_| Ok(())).unwrap_err().into()
}

#[test]
fn every_row_of_the_table_means_what_it_says() {
    for (status, code, for_create, for_others) in TABLE {
        for call in Call::ALL {
            let wanted = if call == Call::Create { for_create } else { for_others };
            let error = error(call, &refusal(status, code));
            assert_eq!((error.kind, error.code.as_str()), (wanted, code), "{status} {code} for {}", call.as_str());
        }
    }
}

#[test]
fn stock_texts_are_told_by_their_code_and_not_by_their_words() {
    let body = r#"{"error":{"code":"invalid_input","message":"unsupported location for server type"}}"#;
    assert_eq!(error(Call::Create, &response(422, body)).kind, Kind::InvalidInput);
    let body = r#"{"error":{"code":"resource_unavailable","message":"the name is already used","details":null}}"#;
    assert_eq!(error(Call::Create, &response(412, body)).kind, Kind::Exhausted);
}

#[test]
fn what_is_not_in_the_words_of_the_api_promises_nothing() {
    let bodies = [
        "",
        "<html>404</html>",
        "null",
        "[]",
        "{}",
        r#"{"error":"no"}"#,
        r#"{"error":{}}"#,
        r#"{"error":{"code":1}}"#,
        r#"{"error":["not_found"]}"#,
        r#"[{"code":"not_found"}]"#,
    ];
    for body in bodies {
        for status in [300, 302, 400, 403, 404, 405, 408, 409, 410, 412, 413, 422, 423, 500, 502, 503, 504, 999] {
            for call in Call::ALL {
                let error = error(call, &response(status, body));
                assert_eq!(error.kind, Kind::Unknown, "{status} {body} for {}", call.as_str());
                assert_eq!(error.code, format!("http_{status}"));
            }
        }
        // Who limits, or wants to know who asks, has not passed the request on.
        assert_eq!(error(Call::Create, &response(429, body)).kind, ONE_SECOND, "{body}");
        assert_eq!(error(Call::Create, &response(401, body)).kind, Kind::Unauthorized, "{body}");
    }
}

#[test]
fn a_throttled_caller_waits_for_one_token_and_never_for_the_reset() {
    for (limit, seconds) in [("3600", 1.0), ("7200", 1.0), ("1800", 2.0), ("1000", 3.6), ("60", 60.0), ("1", 60.0)] {
        let mut response = refusal(429, "rate_limit_exceeded");
        response.headers_mut().insert("ratelimit-limit", HeaderValue::from_static(limit));
        response.headers_mut().insert("ratelimit-reset", HeaderValue::from_static("1999999999"));
        response.headers_mut().insert("retry-after", HeaderValue::from_static("3000"));
        let wanted = Kind::Throttled { retry_after: Duration::from_secs_f64(seconds) };
        assert_eq!(error(Call::Create, &response).kind, wanted, "{limit}");
    }
    for odd in ["", "0", "-1", "many", "18446744073709551616", "1e3"] {
        let mut response = refusal(429, "rate_limit_exceeded");
        response.headers_mut().insert("ratelimit-limit", HeaderValue::from_static(odd));
        let Kind::Throttled { retry_after } = error(Call::Get, &response).kind else { panic!("not throttled") };
        assert!((THROTTLE_LEAST..=THROTTLE_MOST).contains(&retry_after), "{odd}: {retry_after:?}");
    }
    assert_eq!(throttled(Some(u64::MAX)), Kind::Throttled { retry_after: THROTTLE_LEAST });
}

#[test]
fn a_code_is_a_short_word_or_not_shown() {
    let longest = "a".repeat(CODE_BYTES);
    let too_long = "a".repeat(CODE_BYTES + 1);
    for (code, shown) in [
        ("uniqueness_error", "uniqueness_error"),
        (longest.as_str(), longest.as_str()),
        (too_long.as_str(), "other"),
        ("", "other"),
        ("Limit of token abc... reached", "other"),
        ("a-b", "other"),
        ("ä", "other"),
        ("a\n", "other"),
    ] {
        assert_eq!(safe_code(code), shown);
        assert_eq!(error(Call::Create, &refusal(422, code)).code, shown);
    }
}

#[test]
fn a_correlation_id_is_kept_if_it_can_be_shown() {
    let of = |value: &[u8]| {
        let mut response = refusal(409, "uniqueness_error");
        response.headers_mut().insert("x-correlation-id", HeaderValue::from_bytes(value).unwrap());
        (correlation_id(response.headers()), error(Call::Create, &response).correlation_id)
    };
    let longest = "c".repeat(CORRELATION_ID_BYTES);
    for good in ["7c2a9f", longest.as_str()] {
        assert_eq!(of(good.as_bytes()), (Some(good.to_owned()), Some(good.to_owned())));
    }
    for bad in [b"".as_slice(), b"a b", b"\xff", "c".repeat(CORRELATION_ID_BYTES + 1).as_bytes()] {
        assert_eq!(of(bad), (None, None));
    }
}
