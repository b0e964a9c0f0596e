//! Whom to trust behind `https://`: the system's authorities, those of a file, or one certificate.
//!
//! A server with a certificate of its own making (`--tls-auto`) is known by the fingerprint that it
//! shows at its start. Then the name in the certificate does not matter: nobody else has its key.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use thiserror::Error as ThisError;

use crate::error::{Error, Result};
use crate::identity::Identity;

/// Bytes of a file of certificates. A system's whole bundle has a quarter of a MiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Whose word counts for the server's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// The authorities, or the very certificates, of a PEM file.
    Authorities(PathBuf),
    /// The certificate with this fingerprint, whatever names it has.
    Fingerprint(Fingerprint),
}

/// The SHA-256 of a certificate: 64 hexadecimal digits, with or without colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// What is no [`Fingerprint`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
#[error("a fingerprint is a SHA-256: 64 hexadecimal digits, with or without colons")]
pub struct NotFingerprint;

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = NotFingerprint;

    fn from_str(text: &str) -> Result<Self, NotFingerprint> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(NotFingerprint);
        let digits: Vec<u32> = text
            .bytes()
            .filter(|byte| *byte != b':')
            .map(digit)
            .collect::<std::result::Result<_, _>>()?;
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Ok((high << 4 | low) as u8),
            _ => Err(NotFingerprint),
        });
        let bytes = pairs.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self(bytes.try_into().map_err(|_| NotFingerprint)?))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A certificate that was not trusted.
#[derive(Clone, Debug, ThisError)]
#[error("{cause} (the fingerprint of what it shows is {shown})")]
pub(crate) struct Untrusted {
    cause: String,
    shown: Fingerprint,
}

impl Trust {
    /// How to shake hands with a server that is trusted so, as somebody or as nobody.
    pub(crate) fn config(&self, identity: Option<&Identity>) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let authorities = match self {
            Trust::System => Some(of_system()?),
            Trust::Authorities(path) => Some(of_file(path)?),
            Trust::Fingerprint(_) => None,
        };
        let webpki = authorities
            .map(|roots| {
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
            })
            .transpose()
            .map_err(|error| Error::invalid("tls_ca", error.to_string()))?;
        let judge = match (self, webpki) {
            (Trust::Fingerprint(fingerprint), _) => Judge::Fingerprint(*fingerprint),
            (_, Some(webpki)) => Judge::Authorities(webpki),
            (_, None) => unreachable!("there are authorities unless there is a fingerprint"),
        };
        let verifier = Verifier { judge, provider: provider.clone() };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.load()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| Error::invalid("tls_client_key", error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// The authorities that the system trusts; one that cannot be read is left out, as others do.
fn of_system() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or("it has none".to_owned(), ToString::to_string);
        let text = format!(
            "the system trusts no certificate authorities ({why}); name them with --tls-ca FILE, \
             or the server's certificate with --tls-fingerprint SHA256"
        );
        return Err(Error::invalid("tls_ca", text));
    }
    Ok(roots)
}

/// Those of a file, of which each has to be one.
fn of_file(path: &Path) -> Result<RootCertStore> {
    let invalid = |why: String| Error::invalid("tls_ca", format!("{}: {why}", path.display()));
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut pem));
    read.map_err(|error| invalid(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(invalid("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Who decides on a certificate.
#[derive(Debug)]
enum Judge {
    Authorities(Arc<WebPkiServerVerifier>),
    Fingerprint(Fingerprint),
}

/// Judges certificates, and keeps what a person needs who is told that one is not trusted.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(certificate);
        let cause = match &self.judge {
            Judge::Fingerprint(known) if *known == shown => {
                return Ok(ServerCertVerified::assertion());
            }
            Judge::Fingerprint(known) => format!("it is not the one with fingerprint {known}"),
            Judge::Authorities(webpki) => {
                match webpki.verify_server_cert(certificate, chain, name, ocsp, now) {
                    Ok(verified) => return Ok(verified),
                    Err(rustls::Error::InvalidCertificate(error)) => words(&error),
                    Err(error) => error.to_string(),
                }
            }
        };
        let untrusted = OtherError(Arc::new(Untrusted { cause, shown }));
        Err(CertificateError::Other(untrusted).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The usual reasons, for people.
fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "nobody who is trusted vouches for it".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is for another name: {error}")
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown_and_without_colons() {
        let shown = Fingerprint::of(&CertificateDer::from(b"abc".to_vec()));
        let text = shown.to_string();
        assert_eq!(text.parse(), Ok(shown));
        assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(shown));
        for wrong in ["", "AB", &text[..93], &format!("{text}:00"), &text.replace('A', "g")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotFingerprint), "{wrong}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let refused = |path: &str| {
            let config = Trust::Authorities(path.into()).config(None);
            config.err().unwrap().to_string()
        };
        assert!(refused("/no/such.pem").starts_with("/no/such.pem: "));
        assert!(refused("/dev/null").contains("there is no certificate in it"));
    }
}
