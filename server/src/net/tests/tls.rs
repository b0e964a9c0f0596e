//! TLS and what is not TLS on one port.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{Clients, Tls, self_signed};
use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn tls() -> (TempDir, Arc<Tls>) {
    let directory = tempfile::tempdir().unwrap();
    let tls = self_signed(directory.path(), LOOPBACK, Clients::Anonymous).unwrap();
    (directory, Arc::new(tls))
}

/// A client that trusts the certificate in force, and offers these protocols.
async fn shake(open: &OpenPort, tls: &Tls, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(tls.certificate()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, connect(open).await).await.unwrap()
}

#[tokio::test]
async fn http_1_is_spoken_with_and_without_tls_on_one_port() {
    let (_directory, tls) = tls();
    let open = port().with_tls(tls.clone(), false).open(service_fn(hello));
    for protocols in [&[][..], &[&b"http/1.1"[..]]] {
        let mut client = shake(&open, &tls, protocols).await;
        for _ in 0..2 {
            client.write_all(GET).await.unwrap();
            read_hello(&mut client).await;
        }
    }
    // From this machine.
    let mut client = connect(&open).await;
    client.write_all(GET).await.unwrap();
    read_hello(&mut client).await;
}

#[tokio::test]
async fn http_2_is_chosen_where_it_is_offered_and_spoken() {
    let (_directory, tls) = tls();
    let open = port().with_tls(tls.clone(), false).open(service_fn(hello));
    let mut client = shake(&open, &tls, &[b"http/1.1", b"h2"]).await;
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "its settings come first");
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections() {
    let (directory, tls) = tls();
    let open = port().with_tls(tls.clone(), false).open(service_fn(hello));
    let mut old = shake(&open, &tls, &[]).await;
    let first = tls.fingerprint();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    self_signed(directory.path(), LOOPBACK, Clients::Anonymous).unwrap();
    assert_ne!(tls.reload().unwrap(), first);
    old.write_all(GET).await.unwrap();
    read_hello(&mut old).await;
    // It trusts the new one alone.
    let mut new = shake(&open, &tls, &[]).await;
    new.write_all(GET).await.unwrap();
    read_hello(&mut new).await;
}

#[tokio::test]
async fn without_tls_a_handshake_is_not_answered() {
    let open = greeter();
    let mut client = connect(&open).await;
    client.write_all(b"\x16\x03\x01\x00\x05hello").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_to_an_end_is_given_up() {
    let (_directory, tls) = tls();
    let open = port().with_tls(tls, false).open(service_fn(hello));
    let mut client = connect(&open).await;
    client.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    let began = Instant::now();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn garbage_after_the_first_byte_ends_with_an_alert() {
    let (_directory, tls) = tls();
    let open = port().with_tls(tls, false).open(service_fn(hello));
    let mut client = connect(&open).await;
    client.write_all(&[0x16; 1024]).await.unwrap();
    let mut reply = Vec::new();
    let _ = client.read_to_end(&mut reply).await;
    assert!(reply.is_empty() || reply[0] == 0x15, "{reply:?}");
}
