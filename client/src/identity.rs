//! A certificate of one's own, by which a server knows who connects.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// Bytes of a file at most: a chain of a hundred certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate to show to a server at `https://`, and its key: two PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The certificate, and those of authorities that vouch for it if somebody wants them.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Identity {
    /// Reads both files.
    pub(crate) fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let (field, path) = ("tls_client_cert", &self.certificate);
        let chain = CertificateDer::pem_slice_iter(&read(field, path)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(field, path, error))?;
        if chain.is_empty() {
            return Err(invalid(field, path, "there is no certificate in it"));
        }
        let (field, path) = ("tls_client_key", &self.key);
        let key = PrivateKeyDer::from_pem_slice(&read(field, path)?)
            .map_err(|error| invalid(field, path, error))?;
        Ok((chain, key))
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(invalid(field, path, error)),
    }
}

fn invalid(field: &str, path: &Path, why: impl std::fmt::Display) -> Error {
    Error::invalid(field, format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_of_no_use_is_named() {
        let refused = |certificate: &str| {
            let identity = Identity { certificate: certificate.into(), key: "/dev/null".into() };
            identity.load().unwrap_err().to_string()
        };
        assert!(refused("/no/such.pem").starts_with("/no/such.pem: "));
        assert_eq!(refused("/dev/null"), "/dev/null: there is no certificate in it");
    }
}
