//! A certificate of our own, for those who have none: `--tls-auto`.
//!
//! ```text
//! DATA/tls-auto.key   the key, for the eyes of the server's user only
//! DATA/tls-auto.crt   the certificate, for clients to trust
//! ```
//!
//! Both are made once and kept as they are: a client that has learned the fingerprint must not
//! meet another one after a restart. So a certificate that does not name a new address stays, too,
//! and the log says how to get another. The key is written first; a certificate that a crash has
//! prevented is made for the key that is there.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use tempfile::NamedTempFile;
use tracing::{info, warn};

use super::tls::{Clients, Tls, TlsError};

const KEY_FILE: &str = "tls-auto.key";
const CERTIFICATE_FILE: &str = "tls-auto.crt";

/// Takes the certificate that stands in `data`, or makes one that names this machine and
/// `listen`. Waits for the disk.
pub fn self_signed(data: &Path, listen: IpAddr, clients: Clients) -> Result<Tls, TlsError> {
    let (key_path, certificate_path) = (data.join(KEY_FILE), data.join(CERTIFICATE_FILE));
    let names = names(listen);
    if !key_path.exists() {
        write(data, &key_path, 0o600, &KeyPair::generate()?.serialize_pem())?;
        // The certificate of a key that is gone is of no use.
        remove(&certificate_path)?;
    }
    if !certificate_path.exists() {
        let pem = std::fs::read_to_string(&key_path)
            .map_err(|source| TlsError::Unreadable { path: key_path.clone(), source })?;
        let certificate = certificate(&KeyPair::from_pem(&pem)?, &names)?;
        write(data, &certificate_path, 0o644, &certificate)?;
        info!(file = %certificate_path.display(), "a certificate has been made");
    }
    let tls = Tls::load(certificate_path, key_path, clients)?;
    for name in names.iter().filter(|name| !is_named(&tls, name)) {
        warn!(
            name,
            file = %tls.certificate().display(),
            "the certificate was made without this name; remove the file and start again for one \
             that has it"
        );
    }
    Ok(tls)
}

/// By what a client on this machine or another may call us.
fn names(listen: IpAddr) -> BTreeSet<String> {
    let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if ServerName::try_from(host.as_str()).is_ok() {
        names.insert(host);
    }
    // No client calls us 0.0.0.0.
    if !listen.is_unspecified() {
        names.insert(listen.to_string());
    }
    names
}

/// The certificate of a key, signed by itself, in PEM.
///
/// It is no authority: whoever trusts it trusts this server, and nobody whom it might vouch for.
fn certificate(key: &KeyPair, names: &BTreeSet<String>) -> Result<String, TlsError> {
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "anabranch, signed by itself");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Whoever trusts this very certificate is not made safer by its end; clocks may be wrong.
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    Ok(params.self_signed(key)?.pem())
}

fn is_named(tls: &Tls, name: &str) -> bool {
    let leaf = tls.leaf();
    let (Ok(name), Ok(leaf)) = (ServerName::try_from(name), ParsedCertificate::try_from(&leaf))
    else {
        return false;
    };
    rustls::client::verify_server_name(&leaf, &name).is_ok()
}

/// Writes a file that is there whole or not at all.
fn write(directory: &Path, path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let written = || {
        // Only we can read it until it has its mode.
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        std::fs::File::open(directory)?.sync_all()
    };
    written().map_err(|source| TlsError::Unwritable { path: path.to_owned(), source })
}

fn remove(path: &Path) -> Result<(), TlsError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(TlsError::Unwritable { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTEN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_certificate_names_this_machine_and_survives_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let tls = self_signed(directory.path(), LISTEN, Clients::Anonymous).unwrap();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7", &host] {
            assert!(is_named(&tls, name), "{name}");
        }
        assert!(!is_named(&tls, "192.0.2.8") && !is_named(&tls, "example.com"));
        assert_eq!(mode(&directory.path().join(KEY_FILE)), 0o600);
        assert_eq!(mode(&directory.path().join(CERTIFICATE_FILE)), 0o644);
        // Even where the address is another one: clients know the fingerprint.
        let again = self_signed(
            directory.path(),
            IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            Clients::Anonymous,
        );
        assert_eq!(again.unwrap().fingerprint(), tls.fingerprint());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_crash_left_out_is_made_and_what_is_of_no_use_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let first =
            self_signed(directory.path(), LISTEN, Clients::Anonymous).unwrap().fingerprint();
        let key = std::fs::read(directory.path().join(KEY_FILE)).unwrap();
        std::fs::remove_file(directory.path().join(CERTIFICATE_FILE)).unwrap();
        self_signed(directory.path(), LISTEN, Clients::Anonymous).unwrap();
        assert_eq!(std::fs::read(directory.path().join(KEY_FILE)).unwrap(), key);
        std::fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        assert_ne!(
            self_signed(directory.path(), LISTEN, Clients::Anonymous).unwrap().fingerprint(),
            first
        );
    }

    #[test]
    fn an_address_that_nobody_calls_is_not_named() {
        let any = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        assert!(!names(any).contains("0.0.0.0"));
        assert!(names(any).is_superset(&BTreeSet::from(["localhost".to_owned()])));
    }
}
