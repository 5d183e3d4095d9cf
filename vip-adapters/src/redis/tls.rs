//! From a URL to a client: plain, or with TLS whose server is proven to be the one that was asked for.

use redis::{Client, RedisError};

use super::config::RedisConfig;
use super::error::OpenError;

/// Says whether a URL asks for TLS, however it is written: the client skips blanks before it and takes capitals, too.
fn is_tls(url: &str) -> bool {
    let url = url.trim_start().to_ascii_lowercase();
    ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme))
}

pub(super) fn client(url: &str, config: &RedisConfig) -> Result<Client, OpenError> {
    if is_tls(url) { over_tls(url, config) } else { plain(url, config) }
}

fn plain(url: &str, config: &RedisConfig) -> Result<Client, OpenError> {
    #[cfg(feature = "redis-tls")]
    if config.trusted.is_some() {
        return Err(OpenError::Config { rule: "trusted authorities need a URL with `rediss:`" });
    }
    #[cfg(not(feature = "redis-tls"))]
    let _config: &RedisConfig = config;
    Client::open(url).map_err(|error| address(&error))
}

#[cfg(not(feature = "redis-tls"))]
const fn over_tls(_url: &str, _config: &RedisConfig) -> Result<Client, OpenError> {
    Err(OpenError::TlsOff)
}

#[cfg(feature = "redis-tls")]
fn over_tls(url: &str, config: &RedisConfig) -> Result<Client, OpenError> {
    use rustls::crypto::{CryptoProvider, aws_lc_rs};
    use vip_core::telemetry;

    // The client would take `#insecure` for "any certificate will do" if some crate of the host's switched that on.
    if url.contains('#') {
        return Err(OpenError::Config { rule: "a URL with `rediss:` must have no fragment" });
    }
    if config.trusted.as_deref().is_some_and(|authorities| !is_readable(authorities)) {
        return Err(OpenError::Config { rule: "trusted authorities must be PEM with at least one certificate" });
    }
    // The client panics if there is no provider of cryptography, or two of them that nobody chose from.
    if CryptoProvider::get_default().is_none() && aws_lc_rs::default_provider().install_default().is_err() {
        telemetry::tell(|| tracing::debug!("somebody else has chosen the provider of cryptography meanwhile"));
    }
    let certificates = redis::TlsCertificates { client_tls: None, root_cert: config.trusted.clone() };
    Client::build_with_tls(url, certificates).map_err(|error| address(&error))
}

#[cfg(feature = "redis-tls")]
fn is_readable(authorities: &[u8]) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let mut roots = rustls::RootCertStore::empty();
    let mut added = CertificateDer::pem_slice_iter(authorities).map(|read| read.is_ok_and(|it| roots.add(it).is_ok()));
    added.next().is_some_and(|first| first) && added.all(|one| one)
}

/// Says what a URL lacks, without the URL.
fn address(error: &RedisError) -> OpenError {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, error.category().to_owned());
    OpenError::Address { source: Box::new(source) }
}

#[cfg(all(test, not(feature = "redis-tls")))]
mod tests {
    use super::*;

    #[test]
    fn tls_that_is_not_compiled_in_is_an_error_that_names_the_feature() {
        let error = client("rediss://:secret@host", &RedisConfig::queue()).unwrap_err();
        assert!(matches!(error, OpenError::TlsOff) && error.to_string().contains("`redis-tls`"), "{error}");
    }
}
