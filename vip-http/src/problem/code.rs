//! Every code of a problem: its status, and what caller, operator and support should do about it.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $title:literal,
        caller: $caller:literal, operator: $operator:literal, support: $support:literal;)+) => {
        /// Names what went wrong; stable, and documented in `docs/problems.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)+
        }

        impl ProblemCode {
            /// Lists all codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the stable name, as sent.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// Returns a short summary that is the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Says what the caller should do.
            #[must_use]
            pub const fn for_caller(self) -> &'static str {
                match self { $(Self::$variant => $caller,)+ }
            }

            /// Says what the operator should do.
            #[must_use]
            pub const fn for_operator(self) -> &'static str {
                match self { $(Self::$variant => $operator,)+ }
            }

            /// Says what somebody who supports the caller should do.
            #[must_use]
            pub const fn for_support(self) -> &'static str {
                match self { $(Self::$variant => $support,)+ }
            }
        }
    };
}

codes! {
    /// The body is no JSON of the documented form.
    MalformedBody = "malformed_body", BAD_REQUEST, "The body is not of the documented form.",
        caller: "Correct the body; `detail` says where it stops being right. Nothing was changed.",
        operator: "Nothing.",
        support: "Compare the body with `/openapi.json`.";
    /// Two programs could read the request in two ways.
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request is not clear.",
        caller: "Send what `detail` names as RFC 9112 demands it, and one request after the other.",
        operator: "If it comes from a proxy of yours, look at the proxy; else somebody tries to smuggle requests.",
        support: "Ask what stands between the caller and this server.";
    /// A parameter of the query is unknown or out of its bounds.
    InvalidQuery = "invalid_query", BAD_REQUEST, "A parameter of the query is not valid.",
        caller: "Correct the query: `detail` says what is wrong with it; compare it with `/openapi.json`.",
        operator: "Nothing.",
        support: "Compare the query with `/openapi.json`.";
    /// The cursor was not made for this query of this caller, or was changed.
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "The cursor is not valid here.",
        caller: "Begin with the first page. A cursor belongs to one caller and one query, and is not to be changed.",
        operator: "If it happens at each restart, give all processes the same cursor key.",
        support: "Ask whether the cursor came from the same list and the same key.";
    /// The command needs an idempotency key and has none.
    IdempotencyKeyMissing = "idempotency_key_missing", BAD_REQUEST, "An `Idempotency-Key` is needed.",
        caller: "Send an `Idempotency-Key` of 1 to 255 visible ASCII characters, a new one for each new order.",
        operator: "Nothing.",
        support: "Explain that a repeat with the same key is what makes a lost answer harmless.";
    /// The idempotency key is not well formed, or is there twice.
    IdempotencyKeyInvalid = "idempotency_key_invalid", BAD_REQUEST, "The `Idempotency-Key` is not valid.",
        caller: "Send it once, with 1 to 255 visible ASCII characters.",
        operator: "Nothing.",
        support: "Look at how the caller makes its keys.";
    /// Nobody is identified.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "A valid key or token is needed.",
        caller: "Send `Authorization: Bearer` with a valid key or token; a new one if it has expired.",
        operator: "Check that the key is known.",
        support: "Ask for the key's id (never for the key) and look whether it exists.";
    /// The identity lacks the scope.
    Forbidden = "forbidden", FORBIDDEN, "The identity lacks the scope that this needs.",
        caller: "Use a key with the scope that `detail` names.",
        operator: "Give the scope if it is meant to be there.",
        support: "Compare the scopes of the key with what the caller wants to do.";
    /// Nothing is there, or it is another tenant's.
    NotFound = "not_found", NOT_FOUND, "There is nothing of that name here.",
        caller: "Check the id. What belongs to another tenant looks the same as what does not exist.",
        operator: "Nothing.",
        support: "Check whether the id belongs to the tenant of the key, and whether it has outlived its retention.";
    /// The path does not know this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path does not know that method.",
        caller: "Use a method that `Allow` names.",
        operator: "Nothing.",
        support: "Compare the request with `/openapi.json`.";
    /// The operation is no create or has ended.
    NotCancellable = "not_cancellable", CONFLICT, "The operation cannot be cancelled.",
        caller: "A create that has ended has nothing to cancel: delete its server. A deletion is not cancelled at all.",
        operator: "Nothing.",
        support: "Read the operation: its status says how it ended.";
    /// The tenant has as many servers as it may.
    QuotaExceeded = "quota_exceeded", CONFLICT, "The tenant has as many servers as it may.",
        caller: "Delete a server, or have the quota raised. Nothing was changed, and the key was not used up.",
        operator: "The quota is one number for all tenants (`Builder::quota`, the reference server's `--quota`): raise \
                   it if that is meant, and restart every process that accepts.",
        support: "Servers count until they are proven gone: look for ones that are being removed or parked.";
    /// The job is not dead, or is not there.
    NotReplayable = "not_replayable", CONFLICT, "The job is not dead.",
        caller: "List the dead jobs again: it was replayed, or has run since.",
        operator: "Nothing.",
        support: "Nothing.";
    /// The server is not parked.
    NotParked = "not_parked", CONFLICT, "The server is not parked.",
        caller: "Show it again: it was resumed, or went on by itself.",
        operator: "If its operation reads `parked` with `account_blocked`, the account is closed and not the server: \
                   look at `GET /v1/operator/accounts`, then replace the token or confirm it. Else nothing.",
        support: "Nothing.";
    /// More servers are missing than were vouched for.
    MoreMissing = "more_missing", CONFLICT, "More servers are missing than were vouched for.",
        caller: "Show the account again, and vouch for its token only if it is known why so many are missing.",
        operator: "Compare the account's token with its project: a sweep has found more missing since it was shown.",
        support: "Nothing.";
    /// The body did not arrive in time.
    BodyTooSlow = "body_too_slow", REQUEST_TIMEOUT, "The body did not arrive in time.",
        caller: "Send the body within 15 seconds. Nothing was changed.",
        operator: "Nothing.",
        support: "Ask about the caller's network.";
    /// The body is too large.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large.",
        caller: "Send at most 262144 bytes.",
        operator: "Nothing.",
        support: "Look at the size of the user data.";
    /// The address is too long.
    UriTooLong = "uri_too_long", URI_TOO_LONG, "The address is too long.",
        caller: "Send an address of at most 8192 bytes.",
        operator: "Nothing.",
        support: "Nothing.";
    /// The body is not JSON by its content type.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has to be JSON.",
        caller: "Send `Content-Type: application/json`.",
        operator: "Nothing.",
        support: "Nothing.";
    /// Fields break their rules; all of them are named.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "Fields break their rules.",
        caller: "Correct every field that `errors` names. Nothing was changed, and the key was not used up.",
        operator: "Nothing. If it is the id of an image that every tenant may have, allow it (`Builder::image_ids`, the \
                   reference server's `--image-ids`), and restart every process that accepts.",
        support: "The rules stand beside each field in `errors`.";
    /// The idempotency key stands for another command.
    IdempotencyConflict = "idempotency_conflict", UNPROCESSABLE_ENTITY, "The key was used for another command.",
        caller: "Use a new key for a new command. A repeat has to be the same command, word for word.",
        operator: "Nothing.",
        support: "Look whether the caller makes the same key for different orders.";
    /// The tenant or the caller sends more requests than it may.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "There are too many requests.",
        caller: "Repeat it after `Retry-After`. `RateLimit` says what is left. Nothing was changed.",
        operator: "Raise the limit if that is meant.",
        support: "Look which of both limits `detail` names, and whether the caller polls where it could wait.";
    /// A bug, or stored bytes that cannot be understood.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something is wrong here.",
        caller: "Repeat it later with the same key, and report `request_id` if it stays.",
        operator: "Look for `request_id` in the log: stored bytes cannot be understood, or a program error was caught.",
        support: "Pass `request_id` on to the operator.";
    /// The provider, or its catalog, cannot be asked now.
    ProviderUnavailable = "provider_unavailable", SERVICE_UNAVAILABLE, "The provider cannot be asked now.",
        caller: "Repeat it after `Retry-After`. Orders are accepted meanwhile.",
        operator: "Look at the account's gate, breaker and budget. It may also have answered too late: of many servers a sweep \
                   takes long.",
        support: "Look at the provider's status page.";
    /// The store cannot be used now.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The service is not available now.",
        caller: "Repeat it after `Retry-After`. Nothing was changed.",
        operator: "Look at the store: it does not answer.",
        support: "Look whether the operator knows.";
    /// A command may have been accepted or not.
    OutcomeUnknown = "outcome_unknown", SERVICE_UNAVAILABLE, "Whether it was accepted is unknown.",
        caller: "Repeat it with the same key: it was accepted once at the most. Without a key, look first.",
        operator: "Look at the store: an answer was lost or came too late.",
        support: "Explain that the repeat is harmless.";
    /// This process is going to end.
    ShuttingDown = "shutting_down", SERVICE_UNAVAILABLE, "This process is shutting down.",
        caller: "Repeat it after `Retry-After`, on a new connection. Nothing was changed.",
        operator: "Nothing, during a deployment.",
        support: "Nothing.";
    /// A read, or the verification of an audit, took too long.
    TimedOut = "timed_out", SERVICE_UNAVAILABLE, "It took too long.",
        caller: "Repeat it after `Retry-After`. It was a read: nothing was changed.",
        operator: "Look at the store: it answers slowly. For a long audit `Operator::verify_audit` has no limit.",
        support: "Nothing.";
}

impl ProblemCode {
    /// Says whether the same request may succeed later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::BodyTooSlow
            | Self::TooManyRequests
            | Self::Internal
            | Self::ProviderUnavailable
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::ShuttingDown
            | Self::TimedOut => true,
            Self::MalformedBody
            | Self::MalformedRequest
            | Self::InvalidQuery
            | Self::InvalidCursor
            | Self::IdempotencyKeyMissing
            | Self::IdempotencyKeyInvalid
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotCancellable
            | Self::QuotaExceeded
            | Self::NotReplayable
            | Self::NotParked
            | Self::MoreMissing
            | Self::BodyTooLarge
            | Self::UriTooLong
            | Self::UnsupportedMediaType
            | Self::Invalid
            | Self::IdempotencyConflict => false,
        }
    }

    /// Returns the code that a bare status stands for: of answers that no handler of ours made.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let found = match status {
            StatusCode::BAD_REQUEST => Some(Self::MalformedBody),
            StatusCode::UNPROCESSABLE_ENTITY => Some(Self::Invalid),
            StatusCode::CONFLICT => None,
            StatusCode::SERVICE_UNAVAILABLE => Some(Self::Unavailable),
            _ => Self::ALL.iter().copied().find(|code| code.status() == status),
        };
        found.unwrap_or(if status.is_server_error() { Self::Internal } else { Self::MalformedBody })
    }

    /// Writes the page that documents all codes.
    #[doc(hidden)]
    #[must_use]
    pub fn documentation() -> String {
        let mut page = String::from(
            "# Problems\n\nEvery answer of 400 and above is an `application/problem+json` document (RFC 9457) with a \
             `code` of this list,\nand a `request_id` to find it in the log, but for two: `/readyz` says 503 with \
             `{\"status\":\"not_ready\"}`, and a head that cannot be\nread (400), is too long or has too many headers \
             (431) is refused without a body. A test holds this page and the code together.\n",
        );
        for code in Self::ALL {
            let again = if code.is_retryable() { "yes" } else { "no" };
            page.push_str(&format!(
                "\n## {}\n\n{} {} Worth repeating as it is: {again}.\n\n- Caller: {}\n- Operator: {}\n- Support: {}\n",
                code.as_str(),
                code.status().as_u16(),
                code.title(),
                code.for_caller(),
                code.for_operator(),
                code.for_support()
            ));
        }
        page
    }
}
