//! The reading of answers as a pure function, for the fuzz target. Exempt from semantic versioning.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use vip_core::ports::{
    ActionView, CatalogImage, CatalogLocation, CatalogPrice, CatalogServerType, Created, Deletion, ProviderError,
    ProviderErrorKind, ServerView,
};

use super::answer::{read, read_if_there};
use super::call::Call;
use super::error::CallError;
use super::lists::{self, ServerPage};
use super::{mapping, wire};

/// Is what an answer was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A create was accepted.
    Created(Created),
    /// A look by id was answered.
    Looked(Option<ServerView>),
    /// A delete was answered.
    Deleted(Deletion),
    /// Actions were shown.
    Actions(Vec<ActionView>),
    /// A page of servers was shown, and whether another follows.
    Servers(Vec<ServerView>, Option<u32>),
    /// A page of server types was shown.
    ServerTypes(Vec<CatalogServerType>),
    /// A page of locations was shown.
    Locations(Vec<CatalogLocation>),
    /// A page of images was shown.
    Images(Vec<CatalogImage>),
    /// All prices were shown.
    Prices(Vec<CatalogPrice>),
}

/// Returns the names of the calls that [`read_answer`] knows.
#[must_use]
pub fn calls() -> Vec<&'static str> {
    Call::ALL.map(Call::as_str).to_vec()
}

/// Reads an answer as the client does, without the checks that need the request. None if there is no such call or the
/// status is none.
///
/// # Errors
///
/// What the client would say.
#[must_use]
pub fn read_answer(
    call: &str,
    status: u16,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Option<Result<Reading, ProviderErrorKind>> {
    let call = Call::ALL.into_iter().find(|it| it.as_str() == call)?;
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in headers {
        // A header that is none does not come through an HTTP library either.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Some(read_as(call, &response).map_err(|error| ProviderError::from(error).kind))
}

fn read_as(call: Call, response: &Response<Bytes>) -> Result<Reading, CallError> {
    match call {
        Call::Create => read(call, response, mapping::created).map(Reading::Created),
        Call::Get => read_if_there(call, response, mapping::only_server).map(Reading::Looked),
        Call::Delete => read_if_there(call, response, |_: wire::Deleted| Ok(Deletion::Accepted))
            .map(|deletion| Reading::Deleted(deletion.unwrap_or(Deletion::AlreadyGone))),
        Call::Actions => {
            let actions = read_if_there(call, response, mapping::actions)?.unwrap_or_default();
            Ok(Reading::Actions(actions.views))
        }
        Call::Find | Call::FindLabelled | Call::Inventory => {
            let ServerPage { views, next, .. } = read(call, response, |body| lists::servers(body, 1))?;
            Ok(Reading::Servers(views, next))
        }
        Call::ServerTypes => {
            read(call, response, |body| mapping::server_types(body, 1)).map(|part| Reading::ServerTypes(part.items))
        }
        Call::Locations => {
            read(call, response, |body| mapping::locations(body, 1)).map(|part| Reading::Locations(part.items))
        }
        Call::Images => read(call, response, |body| mapping::images(body, 1)).map(|part| Reading::Images(part.items)),
        Call::Pricing => read(call, response, mapping::pricing).map(Reading::Prices),
    }
}
