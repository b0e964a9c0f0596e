//! Certificate and key of the client port, which may be replaced while it runs.
//!
//! The two PEM files are read whole and tried before anything is changed. A connection keeps the
//! certificate with which it was made; the next one gets the newest. What the crypto library is
//! stands in one place: ring, which needs a C compiler and no cmake.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::any_certificate::AnyCertificate;
use crate::fingerprint::Fingerprint;

/// Bytes of a PEM file: a chain of a hundred certificates, and then some.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a client may choose from, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate or a key that is of no use.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What is no PEM, or holds something else.
    #[error("{} holds no {wanted} in PEM: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What the reader says.
        message: String,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error(
        "the certificate of {} and the key of {} are of no use: {source}",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        source: rustls::Error,
    },
    /// A certificate of our own could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// What is asked of clients in a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clients {
    /// Nothing.
    Anonymous,
    /// To show a certificate, if they have one. Whose it is, and whether that is anybody, is for
    /// those to say who know the credentials.
    MayShowCertificate,
}

/// A certificate with its key, ready for handshakes.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    clients: Clients,
    loaded: RwLock<Loaded>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the key.
        write!(f, "Tls({}, {})", self.certificate.display(), self.fingerprint())
    }
}

#[derive(Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// The server's own certificate, the first of its chain.
    leaf: CertificateDer<'static>,
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its key. Waits for the disk.
    pub fn load(certificate: PathBuf, key: PathBuf, clients: Clients) -> Result<Self, TlsError> {
        let loaded = RwLock::new(load(&certificate, &key, clients)?);
        Ok(Self { certificate, key, clients, loaded })
    }

    /// Reads both files again; if they are of no use, everything stays as it was. Waits for the
    /// disk.
    pub fn reload(&self) -> Result<Fingerprint, TlsError> {
        let loaded = load(&self.certificate, &self.key, self.clients)?;
        let fingerprint = Fingerprint::of(&loaded.leaf);
        *self.loaded.write() = loaded;
        Ok(fingerprint)
    }

    /// The fingerprint of the certificate in force.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.loaded.read().leaf)
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The certificate in force.
    pub(super) fn leaf(&self) -> CertificateDer<'static> {
        self.loaded.read().leaf.clone()
    }

    /// Shakes hands with the certificate in force.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.loaded.read().config).into()
    }
}

fn load(certificate: &Path, key: &Path, clients: Clients) -> Result<Loaded, TlsError> {
    let malformed = |path: &Path, wanted, message: String| TlsError::Malformed {
        path: path.to_owned(),
        wanted,
        message,
    };
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(certificate, "certificate", error.to_string()))?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(malformed(certificate, "certificate", "there is none".to_owned()));
    };
    let private_key = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| malformed(key, "private key", error.to_string()))?;
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match clients {
        Clients::Anonymous => builder.with_no_client_auth(),
        Clients::MayShowCertificate => {
            builder.with_client_cert_verifier(Arc::new(AnyCertificate::new(provider)))
        }
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Loaded { config: Arc::new(config), leaf })
}

/// A file whole, if it is of a sensible size.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .and_then(|read| match read as u64 {
            0..=FILE_BYTES_MAX => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB")),
        });
    match read {
        Ok(()) => Ok(bytes),
        Err(source) => Err(TlsError::Unreadable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files with a certificate and its key, or with the key of another one.
    fn files(directory: &Path, number: u32, is_pair: bool) -> (PathBuf, PathBuf) {
        let made = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (own, other) = (made(), made());
        let certificate = directory.join(format!("{number}.crt"));
        let key = directory.join(format!("{number}.key"));
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        let pair = if is_pair { &own } else { &other };
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn what_is_of_no_use_is_refused_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let refused = |(certificate, key)| {
            Tls::load(certificate, key, Clients::Anonymous).err().unwrap().to_string()
        };
        let (certificate, key) = files(directory.path(), 1, false);
        let text = refused((certificate.clone(), key.clone()));
        assert!(text.contains("1.crt") && text.contains("1.key"), "{text}");
        let text = refused((key.clone(), key.clone()));
        assert!(text.contains("1.key holds no certificate"), "{text}");
        let text = refused((certificate.clone(), certificate.clone()));
        assert!(text.contains("1.crt holds no private key"), "{text}");
        let text = refused((directory.path().join("none"), key.clone()));
        assert!(text.contains("cannot read") && text.contains("none"), "{text}");
        std::fs::write(&certificate, vec![b'a'; (1 << 20) + 1]).unwrap();
        let text = refused((certificate, key));
        assert!(text.contains("more than 1 MiB"), "{text}");
    }

    #[test]
    fn a_broken_file_leaves_the_old_certificate_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = files(directory.path(), 1, true);
        let tls = Tls::load(certificate.clone(), key.clone(), Clients::Anonymous).unwrap();
        let first = tls.fingerprint();
        let (new_certificate, new_key) = files(directory.path(), 2, true);
        std::fs::copy(new_certificate, &certificate).unwrap();
        // Half of the change: the key is still that of the old one.
        assert!(matches!(tls.reload(), Err(TlsError::Unusable { .. })));
        assert_eq!(tls.fingerprint(), first);
        std::fs::copy(new_key, &key).unwrap();
        let second = tls.reload().unwrap();
        assert_ne!(second, first);
        assert_eq!(tls.fingerprint(), second);
    }
}
