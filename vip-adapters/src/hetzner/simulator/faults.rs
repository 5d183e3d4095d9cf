//! Faults: what goes wrong, on which requests, and when.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::foreign::ControlError;
use super::routes::TEMPLATES;
use super::time::{millis, optional_millis};

/// Something that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The connection is cut before the request had an effect.
    CutBefore,
    /// The request has its effect, then the connection is cut without an answer.
    CutAfter,
    /// The answer is an error of the server or of a gateway before it.
    Fail {
        /// Which error.
        failure: Failure,
        /// Whether the request had its effect all the same.
        effect: Effect,
    },
    /// The answer comes now and denies the effect, or is cut; the effect comes later.
    Late {
        /// The error that is answered; without one the connection is cut.
        failure: Option<Failure>,
        /// How much later the request has its effect.
        #[serde(rename = "effect_after_ms", with = "millis")]
        effect_after: Duration,
    },
    /// 429, although the bucket has tokens left: other clients of the project took them.
    TooManyRequests,
    /// Any other refusal without an effect, such as `403 resource_limit_exceeded`.
    Refuse {
        /// The status, 400 to 599.
        status: u16,
        /// The error code.
        code: String,
        /// The text.
        message: String,
    },
    /// The effect comes at once and the answer later.
    Delay {
        /// How much later.
        #[serde(rename = "answer_after_ms", with = "millis")]
        answer_after: Duration,
    },
    /// A server created by the request is left out of lists for a while; its name is taken at once.
    Hide {
        /// For how long.
        #[serde(rename = "for_ms", with = "millis")]
        duration: Duration,
        /// Whether a request by its id finds it meanwhile.
        by_id: ById,
    },
    /// A server created by the request is in lists at once, but a request by its id answers 404 for a while.
    HideById {
        /// For how long.
        #[serde(rename = "for_ms", with = "millis")]
        duration: Duration,
    },
    /// The request is accepted, and its action takes this long instead of its usual time.
    ActionTakes {
        /// How long.
        #[serde(rename = "action_ms", with = "millis")]
        duration: Duration,
    },
    /// The wanted type is out of stock in the wanted location.
    StockExhausted {
        /// The type's name; every type without it.
        server_type: Option<String>,
        /// The location's name; every location without it.
        location: Option<String>,
    },
    /// The request is accepted, and its action ends in error.
    ActionFails {
        /// The action's error code.
        code: String,
        /// The action's error text.
        message: String,
    },
    /// The server is created, and its start ends in error: it is there and switched off.
    StartFails {
        /// The error code of the start.
        code: String,
        /// The error text of the start.
        message: String,
    },
}

/// An error of the server, or of a gateway before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// 500 with code `server_error`.
    ServerError,
    /// 502 with an HTML body.
    BadGatewayHtml,
    /// 502 with code `bad_gateway`.
    BadGateway,
    /// 503 with code `unavailable`.
    Unavailable,
    /// 504 with code `timeout`.
    Timeout,
}

/// Whether a failed request had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It had none.
    None,
    /// It had.
    Applied,
}

/// Whether a hidden server is found by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ById {
    /// `GET /servers/{id}` answers.
    Visible,
    /// `GET /servers/{id}` answers 404 as long as lists hide the server.
    Hidden,
}

/// Which requests a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteMatcher {
    /// The method, such as `POST`; every method without it.
    pub method: Option<String>,
    /// The template of the path, such as `/servers/{id}`; every path without it.
    pub route: Option<String>,
}

impl RouteMatcher {
    /// Matches every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches one method at one route template, such as `POST` at `/servers`.
    #[must_use]
    pub fn on(method: &Method, route: &str) -> Self {
        Self { method: Some(method.to_string()), route: Some(route.to_owned()) }
    }

    /// Matches the creation of servers.
    #[must_use]
    pub fn create_server() -> Self {
        Self::on(&Method::POST, "/servers")
    }

    /// Matches the deletion of servers.
    #[must_use]
    pub fn delete_server() -> Self {
        Self::on(&Method::DELETE, "/servers/{id}")
    }

    pub(super) fn matches(&self, method: &Method, template: Option<&str>) -> bool {
        self.method.as_deref().is_none_or(|it| it == method.as_str())
            && self.route.as_deref().is_none_or(|it| Some(it) == template)
    }
}

/// When a rule applies; all times count from the moment at which the rule is added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum When {
    /// To every matching request.
    Always,
    /// To the next matching requests.
    Next {
        /// How many.
        requests: u32,
    },
    /// During a window of time.
    Window {
        /// How long until it opens.
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
        /// How long it is open.
        #[serde(rename = "length_ms", with = "millis")]
        length: Duration,
    },
    /// At random, drawn from the seed of the simulator.
    Chance {
        /// From 0 to 1.
        probability: f64,
        /// For how long; for ever without it.
        #[serde(rename = "length_ms", with = "optional_millis", default)]
        length: Option<Duration>,
    },
}

/// A fault, on which requests, and when.
///
/// Of several rules that match one request, at most one decides the answer, the first one that was added;
/// those that only change how the request is carried out ([`Fault::Delay`], [`Fault::Hide`],
/// [`Fault::HideById`], [`Fault::StockExhausted`], [`Fault::ActionTakes`], [`Fault::ActionFails`], [`Fault::StartFails`]) apply
/// together with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultRule {
    /// Which requests.
    #[serde(default)]
    pub route: RouteMatcher,
    /// When.
    pub when: When,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultRule {
    /// Makes a rule.
    #[must_use]
    pub fn new(route: RouteMatcher, when: When, fault: Fault) -> Self {
        Self { route, when, fault }
    }

    /// Makes a rule for the next `requests` matching requests.
    #[must_use]
    pub fn next(requests: u32, route: RouteMatcher, fault: Fault) -> Self {
        Self::new(route, When::Next { requests }, fault)
    }

    /// Makes a rule for all requests in a window of time that opens after `after`.
    #[must_use]
    pub fn outage(after: Duration, length: Duration, fault: Fault) -> Self {
        Self::new(RouteMatcher::any(), When::Window { after, length }, fault)
    }

    /// Checks that the rule can match and its numbers are in range: a rule that never fires would
    /// make a test pass that proves nothing.
    pub(super) fn check(&self) -> Result<(), ControlError> {
        let refuse = |reason: String| Err(ControlError::InvalidRule { reason });
        if let Some(route) = &self.route.route
            && !TEMPLATES.contains(&route.as_str())
        {
            return refuse(format!("there is no route '{route}'"));
        }
        if let Some(method) = &self.route.method
            && !["GET", "POST", "PUT", "DELETE"].contains(&method.as_str())
        {
            return refuse(format!("there is no method '{method}'"));
        }
        if let When::Chance { probability, .. } = self.when
            && !(0.0..=1.0).contains(&probability)
        {
            return refuse(format!("probability {probability} is not from 0 to 1"));
        }
        match &self.fault {
            Fault::Refuse { status, .. } if !(400..600).contains(status) => {
                refuse(format!("status {status} is not from 400 to 599"))
            }
            Fault::StockExhausted { .. } | Fault::Hide { .. } | Fault::HideById { .. } | Fault::StartFails { .. }
                if !self.route.matches(&Method::POST, Some("/servers")) =>
            {
                refuse("only the creation of servers can meet this fault".to_owned())
            }
            Fault::CutBefore
            | Fault::CutAfter
            | Fault::Fail { .. }
            | Fault::Late { .. }
            | Fault::TooManyRequests
            | Fault::Refuse { .. }
            | Fault::Delay { .. }
            | Fault::Hide { .. }
            | Fault::HideById { .. }
            | Fault::StockExhausted { .. }
            | Fault::ActionTakes { .. }
            | Fault::ActionFails { .. }
            | Fault::StartFails { .. } => Ok(()),
        }
    }
}

impl Failure {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGatewayHtml | Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}
