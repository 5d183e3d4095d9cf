//! Ids and names in the path: what is not well formed names nothing.

use std::collections::HashMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use vip_core::model::{AccountId, TenantId};

use crate::problem::{Problem, ProblemCode};

/// Is the id in the path, parsed.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

/// Is the account in the path.
#[derive(Debug)]
pub(crate) struct AccountName(pub(crate) AccountId);

/// Is the tenant in the path: of an operator's routes alone.
#[derive(Debug)]
pub(crate) struct TenantName(pub(crate) TenantId);

/// Is the digest of a token in the path, as somebody wrote it: it is looked up among those that are known.
#[derive(Debug)]
pub(crate) struct DigestText(pub(crate) String);

/// Takes a part of the path; one that cannot be read is as good as one that does not exist.
async fn part<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let missing = || Problem::new(ProblemCode::NotFound);
    let Ok(Path(mut all)) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await else {
        return Err(missing());
    };
    all.remove(name).ok_or_else(missing)
}

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = part(parts, state, "id").await?;
        // One id has one spelling: the hyphenated one that we give out.
        let is_usual = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        text.parse().ok().filter(|_| is_usual).map(Self).ok_or_else(|| Problem::new(ProblemCode::NotFound))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AccountName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = part(parts, state, "account").await?;
        AccountId::new(text).ok().map(Self).ok_or_else(|| Problem::new(ProblemCode::NotFound))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = part(parts, state, "tenant").await?;
        TenantId::new(text).ok().map(Self).ok_or_else(|| Problem::new(ProblemCode::NotFound))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DigestText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        part(parts, state, "digest").await.map(Self)
    }
}
