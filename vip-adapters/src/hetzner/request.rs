//! Makes the requests: paths, queries, headers, bodies. Pure.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use vip_core::model::{InstallationId, OWNER_LABEL, ProviderName, SERVER_LABEL, ServerId};
use vip_core::ports::CreateRequest;

use super::error::CallError;
use super::{mapping, wire};

/// Servers, types, locations or images on a page: the API's most.
pub(crate) const PER_PAGE: u32 = 50;

/// What need not be encoded in a query value (RFC 3986).
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes requests for one token at one place.
#[derive(Clone)]
pub(crate) struct Requests {
    base_url: String,
    authorization: HeaderValue,
    user_agent: HeaderValue,
}

impl Requests {
    /// Takes the base URL without a slash at its end.
    pub(crate) fn new(
        base_url: &str,
        token: &SecretString,
        user_agent: &str,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))?;
        // Keeps it out of every `Debug`, ours and that of the HTTP crates.
        authorization.set_sensitive(true);
        let user_agent = HeaderValue::from_str(user_agent)?;
        Ok(Self { base_url: base_url.to_owned(), authorization, user_agent })
    }

    pub(crate) fn create(&self, request: &CreateRequest) -> Result<Request<Bytes>, CallError> {
        let body =
            serde_json::to_vec(&mapping::create_body(request)).map_err(|error| CallError::Unsendable(error.into()))?;
        self.request(Method::POST, "/servers", Bytes::from(body))
    }

    pub(crate) fn find(&self, name: &ProviderName) -> Result<Request<Bytes>, CallError> {
        self.get(&format!("/servers?name={}", encoded(name.as_str())))
    }

    pub(crate) fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        page: u32,
    ) -> Result<Request<Bytes>, CallError> {
        self.select(&format!("{OWNER_LABEL}=={owner},{SERVER_LABEL}=={server}"), page)
    }

    pub(crate) fn inventory(&self, owner: InstallationId, page: u32) -> Result<Request<Bytes>, CallError> {
        self.select(&format!("{OWNER_LABEL}=={owner}"), page)
    }

    pub(crate) fn show(&self, id: wire::Id) -> Result<Request<Bytes>, CallError> {
        self.get(&format!("/servers/{id}"))
    }

    pub(crate) fn delete(&self, id: wire::Id) -> Result<Request<Bytes>, CallError> {
        self.request(Method::DELETE, &format!("/servers/{id}"), Bytes::new())
    }

    pub(crate) fn actions(&self, ids: &[wire::Id]) -> Result<Request<Bytes>, CallError> {
        let ids: Vec<String> = ids.iter().map(|id| format!("id={id}")).collect();
        self.get(&format!("/actions?{}", ids.join("&")))
    }

    pub(crate) fn server_types(&self, page: u32) -> Result<Request<Bytes>, CallError> {
        self.get(&format!("/server_types?per_page={PER_PAGE}&page={page}"))
    }

    pub(crate) fn locations(&self, page: u32) -> Result<Request<Bytes>, CallError> {
        self.get(&format!("/locations?per_page={PER_PAGE}&page={page}"))
    }

    pub(crate) fn images(&self, page: u32) -> Result<Request<Bytes>, CallError> {
        self.get(&format!("/images?type=system&per_page={PER_PAGE}&page={page}"))
    }

    pub(crate) fn pricing(&self) -> Result<Request<Bytes>, CallError> {
        self.get("/pricing")
    }

    fn select(&self, selector: &str, page: u32) -> Result<Request<Bytes>, CallError> {
        let (selector, sort) = (encoded(selector), encoded("id:asc"));
        self.get(&format!("/servers?label_selector={selector}&sort={sort}&per_page={PER_PAGE}&page={page}"))
    }

    fn get(&self, path: &str) -> Result<Request<Bytes>, CallError> {
        self.request(Method::GET, path, Bytes::new())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, CallError> {
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base_url))
            .header(AUTHORIZATION, &self.authorization)
            .header(USER_AGENT, &self.user_agent)
            .header(ACCEPT, "application/json");
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        builder.body(body).map_err(|error| CallError::Unsendable(error.into()))
    }
}

fn encoded(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, IN_QUERY)
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Requests").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}
