//! The `Idempotency-Key` of a command.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use vip_core::model::IdempotencyKey;

use crate::problem::{Problem, ProblemCode};

/// Names a command, so that its repeat is the same command.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Is the key of an order: without one a lost answer would be paid for twice.
#[derive(Debug)]
pub(crate) struct OrderKey(pub(crate) IdempotencyKey);

/// Is the key of a command that is harmless to repeat without one.
#[derive(Debug)]
pub(crate) struct OptionalKey(pub(crate) Option<IdempotencyKey>);

/// Reads a key, bare or in the quotes of a structured field.
fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let invalid = |rule: &str| Problem::new(ProblemCode::IdempotencyKeyInvalid).with_detail(format!("It {rule}."));
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid("is there twice"));
    }
    let Ok(text) = value.to_str() else {
        return Err(invalid("may only contain visible ASCII characters"));
    };
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or_else(|| invalid("begins with a quote and is no structured string"))?,
        None => text.to_owned(),
    };
    IdempotencyKey::new(key).map(Some).map_err(|error| invalid(&error.rule))
}

/// Reads the rest of a structured string (RFC 9651): only a quote and a backslash are escaped.
fn unquoted(rest: &str) -> Option<String> {
    let mut text = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            character => text.push(character),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OrderKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read(&parts.headers)?.map(Self).ok_or_else(|| Problem::new(ProblemCode::IdempotencyKeyMissing))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OptionalKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<String>, ProblemCode> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&HEADER, value.parse().unwrap());
        }
        read(&headers).map(|key| key.map(|key| key.as_str().to_owned())).map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_is_read_bare_and_in_quotes() {
        assert_eq!(of(&[]), Ok(None));
        for value in ["order-1", "\"order-1\""] {
            assert_eq!(of(&[value]), Ok(Some("order-1".to_owned())));
        }
        assert_eq!(of(&["\"a\\\"b\\\\c\""]), Ok(Some("a\"b\\c".to_owned())));
    }

    #[test]
    fn a_key_that_is_not_well_formed_or_there_twice_is_refused() {
        let long = "a".repeat(255);
        assert!(of(&[&long]).is_ok());
        let too_long = "a".repeat(256);
        let wrong = ["", "two words", "\"", "\"a", "\"a\"b", "\"\\n\"", "\"\"", &too_long];
        for value in wrong {
            assert_eq!(of(&[value]), Err(ProblemCode::IdempotencyKeyInvalid), "{value}");
        }
        assert_eq!(of(&["a", "a"]), Err(ProblemCode::IdempotencyKeyInvalid));
    }
}
