//! The transport over HTTP: one request, one connection attempt, no second try, no redirect, a bounded body.

use std::error::Error;
use std::io;
use std::sync::Once;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{Certificate, Client, ClientBuilder};
use secrecy::ExposeSecret;
use vip_core::telemetry;

use super::config::{HetznerConfig, Reach};
use super::error::HetznerConfigError;
use super::transport::{Transport, TransportError};

/// Largest body that is read. A page of 50 servers has some 200 KiB.
pub(crate) const BODY_BYTES: usize = 4 * 1024 * 1024;

/// What unix systems say if a process, or the whole machine, has too many files open (EMFILE, ENFILE).
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

/// Less than gateways keep an idle connection (60 s and more): a request on one that they are closing is a lost answer.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Carries requests by reqwest.
pub(crate) struct HttpTransport {
    client: Client,
}

impl HttpTransport {
    /// Makes a transport for the checked settings; `reach` says whether TLS is spoken.
    pub(crate) fn new(config: &HetznerConfig, reach: Reach) -> Result<Self, HetznerConfigError> {
        let client = match reach {
            // No TLS is spoken: without roots it also starts on a machine that has none.
            Reach::Loopback => builder(config)?.tls_certs_only([]).build(),
            Reach::Internet => match builder(config)?.https_only(true).build() {
                Ok(client) => Ok(client),
                Err(error) => {
                    warn_of_bundled_roots(&error);
                    let bundled = bundled_roots().map_err(HetznerConfigError::client)?;
                    builder(config)?.https_only(true).tls_certs_only(bundled).build()
                }
            },
        };
        client.map(|client| Self { client }).map_err(HetznerConfigError::client)
    }
}

fn builder(config: &HetznerConfig) -> Result<ClientBuilder, HetznerConfigError> {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // reqwest sends again what the server refused to begin; a create is sent by us, once, or not at all.
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(POOL_IDLE);
    let Some(proxy) = &config.proxy else { return Ok(builder) };
    match reqwest::Proxy::all(proxy.expose_secret()) {
        Ok(proxy) => Ok(builder.proxy(proxy)),
        // The error itself is dropped: it repeats the URL, password included.
        Err(_) => Err(HetznerConfigError::Invalid { field: "proxy", rule: "cannot be used".to_owned() }),
    }
}

/// Says it once, however many clients a process makes.
fn warn_of_bundled_roots(error: &reqwest::Error) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        telemetry::tell(|| {
            tracing::warn!(%error, "no certificate store of the system can be read: the bundled one is used");
        });
    });
}

fn bundled_roots() -> reqwest::Result<Vec<Certificate>> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root)).collect()
}

impl std::fmt::Debug for HttpTransport {
    /// Shows nothing of the client: a proxy may carry a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(not_sent)?;
        let mut answer = self.client.execute(request).await.map_err(sending_failed)?;
        let mut body = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(lost)? {
            if body.len().saturating_add(part.len()) > BODY_BYTES {
                return Err(TransportError::TooLarge { limit_bytes: BODY_BYTES });
            }
            body.extend_from_slice(&part);
        }
        let mut response = http::Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

/// Tells a request that never left (no name, no connection, no TLS) from one that may have.
fn sending_failed(error: reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() { not_sent(error) } else { lost(error) }
}

// The URL is left out of both: it holds names and labels.
fn not_sent(error: reqwest::Error) -> TransportError {
    let is_short = wants_descriptor(&error);
    let source = error.without_url().into();
    if is_short { TransportError::NoDescriptor(source) } else { TransportError::NotSent(source) }
}

fn lost(error: reqwest::Error) -> TransportError {
    TransportError::Lost(error.without_url().into())
}

/// Says whether an error comes from a file descriptor that the system did not give; a look-up of a name needs one, too.
fn wants_descriptor(error: &(dyn Error + 'static)) -> bool {
    let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    code.is_some_and(|code| NO_DESCRIPTOR.contains(&code)) || error.source().is_some_and(wants_descriptor)
}

#[cfg(test)]
mod tests {
    use reqwest::dns::{Name, Resolve, Resolving};
    use vip_core::ports::{ProviderError, ProviderErrorKind as Kind, Service};

    use super::super::error::CallError;
    use super::*;

    /// Fails to look up any name, as a system does that has no descriptor left for it.
    struct Refused(i32);

    impl Resolve for Refused {
        fn resolve(&self, _name: Name) -> Resolving {
            let error: Box<dyn Error + Send + Sync> = io::Error::from_raw_os_error(self.0).into();
            Box::pin(std::future::ready(Err(error)))
        }
    }

    /// Sends a request where connecting ends with this error of the system.
    async fn refused(code: i32) -> ProviderError {
        let config = HetznerConfig::new("token");
        let client = builder(&config).unwrap().tls_certs_only([]).dns_resolver(Refused(code)).build().unwrap();
        let request = http::Request::get("http://nowhere.invalid/v1/servers").body(Bytes::new()).unwrap();
        let error = HttpTransport { client }.send(request).await.unwrap_err();
        ProviderError::from(CallError::Transport(error))
    }

    #[tokio::test]
    async fn a_connection_without_a_descriptor_is_not_sent_and_no_sign_of_an_outage() {
        for code in NO_DESCRIPTOR {
            let error = refused(code).await;
            let said = (error.kind, error.code.as_str(), error.service);
            assert_eq!(said, (Kind::NotSent, "no_descriptor", Service::Unasked), "{error:?}");
        }
        // Nobody listens there: that is one.
        let error = refused(111).await;
        let said = (error.kind, error.code.as_str(), error.service);
        assert_eq!(said, (Kind::NotSent, "not_sent", Service::Failing), "{error:?}");
    }
}
