//! A certificate authority of a test's own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Vouches for servers.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Is what a server shows, and who vouches for it; all in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Name or address of the server.
    pub name: String,
    /// The server's certificate.
    pub chain: String,
    /// Its private key.
    pub key: String,
    /// The authority's certificate.
    pub authority: String,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }
}

impl Authority {
    /// Returns its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Vouches for a server of this name or address.
    #[must_use]
    pub fn certificate_for(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let chain = params.signed_by(&key, &self.0).expect("a certificate").pem();
        Certificate { name: name.to_owned(), chain, key: key.serialize_pem(), authority: self.pem() }
    }
}
