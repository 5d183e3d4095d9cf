//! Each row of the API's table of errors, as a call sees it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use serde_json::json;
use vip_core::ports::{ProviderError, ProviderErrorKind as Kind, Retryability, Service};

use super::super::answer::{CORRELATION_ID_BYTES, correlation_id, read};
use super::super::call::Call;
use super::super::error::{CODE_BYTES, THROTTLE_LEAST, THROTTLE_MOST, safe_code, throttled};
use super::super::refusals::{Applied, Meaning, ROWS};
use super::super::wire;
use super::response;

const ONE_SECOND: Kind = Kind::Throttled { retry_after: Duration::from_secs(1) };

fn refusal(status: u16, code: &str) -> Response<Bytes> {
    response(status, &json!({"error": {"code": code, "message": "words", "details": {}}}).to_string())
}

fn error(call: Call, response: &Response<Bytes>) -> ProviderError {
    read::<wire::ServerOnly, ()>(call, response, |_| Ok(())).unwrap_err().into()
}

/// A code that stands in no row.
const NEW: &str = "new";

#[test]
fn every_row_of_the_table_is_what_a_call_says() {
    for row in ROWS {
        let code = if row.code.is_empty() { NEW } else { row.code };
        for call in Call::ALL {
            let meaning = match call {
                Call::Create => row.create,
                Call::Delete => row.delete,
                Call::Find
                | Call::FindLabelled
                | Call::Get
                | Call::Actions
                | Call::Inventory
                | Call::ServerTypes
                | Call::Locations
                | Call::Images
                | Call::Pricing => row.others,
            };
            let error = error(call, &refusal(row.status, code));
            let said = (error.kind, error.code.as_str());
            assert_eq!(said, (meaning.kind(None), code), "{} {code} for {}", row.status, call.as_str());
        }
    }
}

#[test]
fn what_may_have_been_applied_is_never_said_to_have_failed() {
    for row in ROWS {
        let wanted = match row.create {
            Meaning::Unknown => Applied::Perhaps,
            Meaning::AlreadyExists => Applied::Earlier,
            Meaning::Throttled
            | Meaning::Busy
            | Meaning::Exhausted
            | Meaning::InvalidInput
            | Meaning::Protected
            | Meaning::AccountLimit
            | Meaning::Unauthorized
            | Meaning::ReadOnly
            | Meaning::Bug => Applied::No,
        };
        assert_eq!(row.applied, wanted, "{} {}", row.status, row.code);
        assert!(row.status < 500 || row.applied == Applied::Perhaps, "{} {}", row.status, row.code);
        let twins = ROWS.iter().filter(|it| it.status == row.status && it.code == row.code);
        assert_eq!(twins.count(), 1, "{} {} stands in two rows", row.status, row.code);
    }
}

#[test]
fn what_cannot_be_placed_is_out_of_stock_and_the_order_waits() {
    for (status, code) in [(422, "placement_error"), (412, "placement_error"), (412, "resource_unavailable")] {
        let error = error(Call::Create, &refusal(status, code));
        assert_eq!((error.kind, error.retryability()), (Kind::Exhausted, Retryability::Temporary), "{status} {code}");
    }
}

#[test]
fn only_a_read_that_is_forbidden_says_that_the_token_is_no_good() {
    for code in ["forbidden", NEW] {
        for call in Call::ALL {
            let kind = match call {
                Call::Create => Kind::AccountLimit,
                Call::Delete => Kind::Protected,
                Call::Find
                | Call::FindLabelled
                | Call::Get
                | Call::Actions
                | Call::Inventory
                | Call::ServerTypes
                | Call::Locations
                | Call::Images
                | Call::Pricing => Kind::Unauthorized,
            };
            let said = error(call, &refusal(403, code));
            assert_eq!((said.kind, said.code.as_str()), (kind, code), "{}", call.as_str());
            // Who does not know the token says so to every call.
            assert_eq!(error(call, &refusal(401, "unauthorized")).kind, Kind::Unauthorized, "{}", call.as_str());
            assert_eq!(error(call, &refusal(401, "token_readonly")).kind, Kind::ReadOnly, "{}", call.as_str());
        }
    }
    // A quota is one, and maintenance ends.
    for call in [Call::Create, Call::Delete] {
        assert_eq!(error(call, &refusal(403, "resource_limit_exceeded")).kind, Kind::AccountLimit);
        assert_eq!(error(call, &refusal(403, "maintenance")).kind, Kind::Busy);
    }
}

#[test]
fn a_code_at_another_status_keeps_its_meaning_only_inside_of_4xx() {
    for (status, code, kind) in [
        (409, "locked", Kind::Busy),
        (400, "invalid_input", Kind::InvalidInput),
        (422, "uniqueness_error", Kind::AlreadyExists),
        (409, "unavailable", Kind::Exhausted),
        (400, "server_error", Kind::Unknown),
        (429, "uniqueness_error", ONE_SECOND),
        (418, NEW, Kind::Unknown),
        (302, "uniqueness_error", Kind::Unknown),
        (500, "resource_unavailable", Kind::Unknown),
        (503, "rate_limit_exceeded", Kind::Unknown),
        (599, "unauthorized", Kind::Unknown),
    ] {
        assert_eq!(error(Call::Create, &refusal(status, code)).kind, kind, "{status} {code}");
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
        for call in Call::ALL {
            let error = error(call, &response(401, body));
            let said = (error.kind, error.code.as_str(), error.service);
            // It is the way to the API that fails, from here; of our token nothing is said.
            assert_eq!(said, (Kind::NotSent, "http_401", Service::Failing), "{body} for {}", call.as_str());
        }
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
