//! From errors of the core to problems: what is beneath goes to the log, never to the caller.

use std::error::Error;

use vip_core::CommandError;
use vip_core::model::Invalid;
use vip_core::ports::{ProviderError, QueueError, StoreError};
use vip_core::provisioner::{CatalogError, ReplayError, SweepFailed, UnknownAccount};
use vip_core::provisioning::ConfirmError;
use vip_core::provisioning::converge::OperateError;
use vip_core::telemetry;

use super::{FieldProblem, Problem, ProblemCode};

/// Writes down what is beneath a problem; a caller only learns the code.
fn beneath(code: ProblemCode, error: &(dyn Error + 'static)) -> Problem {
    if code == ProblemCode::Internal {
        telemetry::tell(|| {
            tracing::error!({ telemetry::ERROR } = %telemetry::causes(error), code = code.as_str(), "request failed");
        });
    } else {
        telemetry::tell(|| {
            tracing::warn!({ telemetry::ERROR } = %telemetry::causes(error), code = code.as_str(), "request failed");
        });
    }
    Problem::new(code)
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let errors = invalid.errors.into_iter();
        let errors =
            errors.map(|error| FieldProblem { field: error.field, value: error.value, rule: error.rule }).collect();
        Self::new(ProblemCode::Invalid).with_errors(errors)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Invalid(invalid) => invalid.into(),
            CommandError::IdempotencyConflict => Self::new(ProblemCode::IdempotencyConflict),
            CommandError::QuotaExceeded { limit } => {
                Self::new(ProblemCode::QuotaExceeded).with_detail(format!("The quota is {limit} servers."))
            }
            CommandError::NotFound => Self::new(ProblemCode::NotFound),
            CommandError::NotCancellable => Self::new(ProblemCode::NotCancellable),
            CommandError::ShuttingDown => Self::new(ProblemCode::ShuttingDown),
            CommandError::Unavailable { .. } => beneath(ProblemCode::Unavailable, &error),
            CommandError::OutcomeUnknown { .. } => beneath(ProblemCode::OutcomeUnknown, &error),
            // A new kind of error is a bug here until it has a code of its own.
            CommandError::Internal { .. } | _ => beneath(ProblemCode::Internal, &error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let code = match error {
            QueueError::Unavailable { .. } => ProblemCode::Unavailable,
            QueueError::OutcomeUnknown { .. } => ProblemCode::OutcomeUnknown,
            QueueError::Corrupt { .. } | _ => ProblemCode::Internal,
        };
        beneath(code, &error)
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let code = match error {
            CatalogError::UnknownAccount { .. } => return Self::new(ProblemCode::NotFound),
            CatalogError::Unavailable { .. } | CatalogError::NotInvalidated(_) | _ => ProblemCode::ProviderUnavailable,
        };
        beneath(code, &error)
    }
}

impl From<SweepFailed> for Problem {
    fn from(error: SweepFailed) -> Self {
        // Which of both does not answer is what the operator has to look at.
        let mut cause = error.source();
        while let Some(source) = cause.filter(|cause| !cause.is::<ProviderError>()) {
            cause = source.source();
        }
        let code = if cause.is_some() { ProblemCode::ProviderUnavailable } else { ProblemCode::Unavailable };
        beneath(code, &error)
    }
}

impl From<UnknownAccount> for Problem {
    fn from(_error: UnknownAccount) -> Self {
        Self::new(ProblemCode::NotFound)
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound => Self::new(ProblemCode::NotFound),
            OperateError::NotParked => Self::new(ProblemCode::NotParked),
            OperateError::Store(error) => error.into(),
            // A new kind of error is a bug here until it has a code of its own.
            OperateError::Name(_) | _ => beneath(ProblemCode::Internal, &error),
        }
    }
}

impl From<ConfirmError> for Problem {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::MoreMissing { .. } => Self::new(ProblemCode::MoreMissing),
            ConfirmError::Store(error) => error.into(),
            // A new kind of error is a bug here until it has a code of its own.
            _ => beneath(ProblemCode::Internal, &error),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Invalid(invalid) => invalid.into(),
            ReplayError::Queue(error) => error.into(),
            // A new kind of error is a bug here until it has a code of its own.
            _ => beneath(ProblemCode::Internal, &error),
        }
    }
}
