//! Makes connections: in plaintext as tonic does, or with TLS as [`Trust`] says.
//!
//! TLS is ours and not tonic's, so that one certificate can be trusted by its fingerprint, and
//! that a certificate which is not trusted is an error of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, OtherError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::trust::Untrusted;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A server, and how to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    /// Connects to `endpoint`; with TLS where there is a configuration of it.
    pub(crate) fn new(endpoint: Endpoint, tls: Option<ClientConfig>) -> Self {
        Self { endpoint, tls: tls.map(Arc::new) }
    }

    /// A connection that is there.
    pub(crate) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        match &self.tls {
            None => self.endpoint.connect().await,
            Some(tls) => self.endpoint.connect_with_connector(Tls::new(tls)).await,
        }
    }

    /// A connection that is made when it is needed.
    pub(crate) fn connect_lazy(&self) -> Channel {
        match &self.tls {
            None => self.endpoint.connect_lazy(),
            Some(tls) => self.endpoint.connect_with_connector_lazy(Tls::new(tls)),
        }
    }
}

/// Connects and shakes hands.
#[derive(Clone)]
struct Tls {
    tcp: HttpConnector,
    tls: TlsConnector,
}

impl Tls {
    fn new(config: &Arc<ClientConfig>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self { tcp, tls: TlsConnector::from(Arc::clone(config)) }
    }
}

impl Service<Uri> for Tls {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let name = server_name(&uri);
        let tls = self.tls.clone();
        let connecting = self.tcp.call(uri);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            let stream = tls.connect(name?, stream).await.map_err(explain)?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// The name that the certificate is to have. An IPv6 address stands in brackets in a URI.
fn server_name(uri: &Uri) -> Result<ServerName<'static>, BoxError> {
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(ServerName::try_from(host.to_owned())?)
}

/// What a handshake that failed says to a person.
fn explain(error: io::Error) -> BoxError {
    if let Some(untrusted) = untrusted(&error) {
        return untrusted.into();
    }
    match error.kind() {
        // A server without TLS closes, or answers what is no TLS.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the connection was closed instead of a TLS handshake; a server without TLS is at \
             http://"
                .into()
        }
        _ => error.into(),
    }
}

fn untrusted(error: &io::Error) -> Option<Untrusted> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error
    else {
        return None;
    };
    other.downcast_ref::<Untrusted>().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificates_name_is_the_host_of_the_address() {
        let name =
            |uri: &'static str| server_name(&Uri::from_static(uri)).unwrap().to_str().into_owned();
        assert_eq!(name("https://example.com:4567"), "example.com");
        assert_eq!(name("https://127.0.0.1:4567"), "127.0.0.1");
        assert_eq!(name("https://[::1]:4567"), "::1");
    }
}
