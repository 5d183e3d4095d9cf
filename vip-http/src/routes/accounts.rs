//! Accounts at a provider: gates, breakers and budgets, what the sweep saw, and a sweep now.

use axum::Json;
use axum::http::StatusCode;
use vip_core::telemetry;

use super::of_provider;
use crate::auth::OperatorCaller;
use crate::extract::{AccountName, DigestText, JsonBody};
use crate::limits;
use crate::problem::{Problem, ProblemBody, ProblemCode};
use crate::wire::{AccountBody, AccountsBody, ConfirmBody, SetBreakerBody, SightingsBody, SweepBody, SweepReportBody};

/// Lists the accounts that this process has a client of, with its breakers and budgets.
#[utoipa::path(
    get, path = "/v1/operator/accounts", tag = "operator", operation_id = "list_accounts",
    security(("key" = ["operator"])),
    responses(
        (status = 200, description = "All accounts", body = AccountsBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(caller: OperatorCaller) -> Result<Json<AccountsBody>, Problem> {
    let operator = caller.operator;
    let mut items = Vec::new();
    for id in operator.accounts() {
        let account = operator.account(&id).await?;
        items.push(AccountBody::new(account, operator.breaker(&id)?, &operator.budget(&id)?));
    }
    Ok(Json(AccountsBody { items }))
}

/// Tells this process's breaker of an account how to behave.
#[utoipa::path(
    put, path = "/v1/operator/accounts/{account}/breaker", tag = "operator", operation_id = "set_breaker",
    security(("key" = ["operator"])),
    params(("account" = String, Path, description = "Name of the account")),
    request_body = SetBreakerBody,
    responses(
        (status = 204, description = "It behaves so from now on"),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn set_breaker(
    caller: OperatorCaller,
    AccountName(account): AccountName,
    JsonBody(body): JsonBody<SetBreakerBody>,
) -> Result<StatusCode, Problem> {
    caller.operator.set_breaker(&account, body.mode.into())?;
    let subject = caller.identity.subject();
    telemetry::tell(|| tracing::warn!(account.id = %account, subject, breaker.mode = ?body.mode, "breaker set"));
    Ok(StatusCode::NO_CONTENT)
}

/// Shows in what an account and the records disagreed at the last sweep.
#[utoipa::path(
    get, path = "/v1/operator/accounts/{account}/sightings", tag = "operator", operation_id = "list_sightings",
    security(("key" = ["operator"])),
    params(("account" = String, Path, description = "Name of the account")),
    responses(
        (status = 200, description = "All sightings", body = SightingsBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sightings(
    caller: OperatorCaller,
    AccountName(account): AccountName,
) -> Result<Json<SightingsBody>, Problem> {
    let sightings = caller.operator.sightings(&account).await?;
    Ok(Json(SightingsBody { items: sightings.into_iter().map(Into::into).collect() }))
}

/// Sweeps an account now and reports what it saw and what it costs.
#[utoipa::path(
    post, path = "/v1/operator/accounts/{account}/sweep", tag = "operator", operation_id = "sweep_account",
    security(("key" = ["operator"])),
    params(("account" = String, Path, description = "Name of the account")),
    request_body = SweepBody,
    responses(
        (status = 200, description = "The report", body = SweepReportBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sweep(
    caller: OperatorCaller,
    AccountName(account): AccountName,
    JsonBody(body): JsonBody<SweepBody>,
) -> Result<Json<SweepReportBody>, Problem> {
    if !caller.operator.accounts().contains(&account) {
        return Err(Problem::new(ProblemCode::NotFound));
    }
    let mode = body.mode.unwrap_or_default();
    let subject = caller.identity.subject();
    // Before it begins: who asked has to be known also if this is cut off or fails.
    telemetry::tell(|| tracing::warn!(account.id = %account, subject, sweep.mode = ?mode, "sweep asked for"));
    // Boxed: what waits for it would be as large.
    let sweep = Box::pin(caller.operator.sweep(&account, mode.into()));
    Ok(Json(of_provider(limits::SWEEP, sweep).await?.into()))
}

/// Vouches for a token: an account that is suspect, or whose token the provider refused, is looked at and changed again.
#[utoipa::path(
    post, path = "/v1/operator/accounts/{account}/tokens/{digest}/confirm", tag = "operator", operation_id = "confirm_token",
    security(("key" = ["operator"])),
    params(
        ("account" = String, Path, description = "Name of the account"),
        ("digest" = String, Path, description = "Digest of the token, as the list of accounts shows it"),
    ),
    request_body = ConfirmBody,
    responses(
        (status = 204, description = "Its gate is open"),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn confirm_token(
    caller: OperatorCaller,
    AccountName(account): AccountName,
    DigestText(digest): DigestText,
    JsonBody(body): JsonBody<ConfirmBody>,
) -> Result<StatusCode, Problem> {
    let known =
        caller.operator.account(&account).await?.gates.into_iter().find(|entry| entry.digest.as_str() == digest);
    let digest = known.ok_or_else(|| Problem::new(ProblemCode::NotFound))?.digest;
    caller.operator.confirm_token(&caller.actor, &account, &digest, body.missing).await?;
    let subject = caller.identity.subject();
    telemetry::tell(|| {
        let missing = body.missing;
        tracing::warn!(account.id = %account, token.digest = %digest, missing, subject, "token confirmed");
    });
    Ok(StatusCode::NO_CONTENT)
}
