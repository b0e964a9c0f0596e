//! Where the certificate of the client port comes from.

use std::path::PathBuf;

use super::ConfigError;

/// The source of certificate and key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsSource {
    /// Two PEM files.
    Files {
        /// The chain of certificates, the server's own first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The server makes both and keeps them in its data directory.
    Auto,
}

impl TlsSource {
    /// What the three settings say together; an empty path says nothing.
    pub(super) fn of(
        certificate: PathBuf,
        key: PathBuf,
        is_auto: bool,
    ) -> Result<Option<Self>, ConfigError> {
        let (has_certificate, has_key) =
            (!certificate.as_os_str().is_empty(), !key.as_os_str().is_empty());
        let incomplete = |given, missing| Err(ConfigError::TlsIncomplete { given, missing });
        match (has_certificate, has_key, is_auto) {
            (false, false, false) => Ok(None),
            (false, false, true) => Ok(Some(TlsSource::Auto)),
            (_, _, true) => Err(ConfigError::TlsTwice),
            (true, true, false) => Ok(Some(TlsSource::Files { certificate, key })),
            (true, false, false) => incomplete("tls_cert", "tls_key"),
            (false, true, false) => incomplete("tls_key", "tls_cert"),
        }
    }
}
