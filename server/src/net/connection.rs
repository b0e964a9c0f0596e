//! One connection: what it speaks, and what it is served until its end or that of the port.
//!
//! The first byte tells TLS from the rest: a handshake begins with 0x16, and no HTTP does. In
//! plaintext as behind a handshake hyper tells HTTP/2 from HTTP/1.1 by its preface, so whoever has
//! agreed on `h2` by ALPN and whoever knew it before are the same from there on.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::exchanges::Exchanges;
use super::limits::HEADER_TIMEOUT;
use super::patient::Patient;
use super::refusal;
use super::tls::Tls;
use super::transport::Transport;
use crate::fingerprint::Fingerprint;

/// The first byte of a TLS record that begins a handshake.
const HANDSHAKE: u8 = 0x16;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What holds for every connection of a port.
pub(super) struct Rules {
    builder: auto::Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
    /// With TLS: whether others than this machine may do without.
    is_plaintext_for_all: bool,
    /// Whether the log has said that somebody tries TLS in vain.
    has_hinted: AtomicBool,
}

impl Rules {
    pub(super) fn new(
        builder: auto::Builder<TokioExecutor>,
        tls: Option<Arc<Tls>>,
        is_plaintext_for_all: bool,
    ) -> Self {
        Self { builder, tls, is_plaintext_for_all, has_hinted: AtomicBool::new(false) }
    }
}

/// Serves `stream` until the peer ends it, or `stop` says so and what runs is finished. A request
/// has the [`Fingerprint`] of the certificate that the peer has shown, if any, as an extension.
pub(super) async fn serve<S, B>(
    rules: &Rules,
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    stop: &CancellationToken,
) -> Result<(), Error>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Error>,
    B: Body<Data: Send, Error: Into<Error>> + Send + Unpin + 'static,
{
    // An acknowledgement is a few bytes: it must not wait for more to go with it.
    stream.set_nodelay(true)?;
    let deadline = Instant::now() + HEADER_TIMEOUT;
    let greeted = tokio::select! {
        greeted = timeout_at(deadline, greet(rules, stream, peer)) => greeted,
        () = stop.cancelled() => return Ok(()),
    };
    let Some(transport) = greeted.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
        return Ok(());
    };
    let shown = transport.certificate_shown();
    let exchanges = Arc::new(Exchanges::default());
    let io = TokioIo::new(Patient::new(transport, exchanges.clone(), deadline));
    let counted = service_fn(move |mut request: Request<Incoming>| {
        let exchange = Exchanges::begin(&exchanges);
        if let Some(shown) = shown {
            request.extensions_mut().insert::<Fingerprint>(shown);
        }
        let reply = service.call(request);
        async move { reply.await.map(|reply| reply.map(|body| exchange.lasts_as_long_as(body))) }
    });
    let mut connection = pin!(rules.builder.serve_connection(io, counted));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// What is done with a peer, by its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Welcome {
    /// Go on in plaintext.
    Plaintext,
    /// Shake hands.
    Handshake,
    /// It asks for TLS, and there is none.
    NoTls,
    /// It has to use TLS.
    TlsOnly,
}

fn welcome(first_byte: u8, has_tls: bool, may_do_without: bool) -> Welcome {
    match (first_byte == HANDSHAKE, has_tls) {
        (true, true) => Welcome::Handshake,
        (true, false) => Welcome::NoTls,
        (false, true) if !may_do_without => Welcome::TlsOnly,
        (false, _) => Welcome::Plaintext,
    }
}

/// Looks at the first bytes and does what they ask for; `None` where there is nothing to serve.
async fn greet(
    rules: &Rules,
    stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<Option<Transport>> {
    let mut first = [0; refusal::PEEKED_BYTES];
    let peeked = stream.peek(&mut first).await?;
    let Some(&first_byte) = first[..peeked].first() else {
        return Ok(None);
    };
    let may_do_without = rules.is_plaintext_for_all || peer.ip().to_canonical().is_loopback();
    match (welcome(first_byte, rules.tls.is_some(), may_do_without), &rules.tls) {
        (Welcome::Handshake, Some(tls)) => {
            let stream = tls.acceptor().accept(stream).await?;
            Ok(Some(Transport::Tls(Box::new(stream))))
        }
        (Welcome::NoTls | Welcome::Handshake, _) => {
            if rules.has_hinted.swap(true, Ordering::Relaxed) {
                debug!(%peer, "a client asks for TLS, which is not set up");
            } else {
                warn!(
                    %peer,
                    "a client asks for TLS, which is not set up; start with --tls-cert FILE and \
                     --tls-key FILE, or with --tls-auto, or let it connect to http://"
                );
            }
            Ok(None)
        }
        (Welcome::TlsOnly, _) => {
            debug!(%peer, "a client without TLS was refused");
            let mut stream = Patient::of_refused(Transport::Plain(stream));
            stream.write_all(&refusal::plaintext(&first[..peeked])).await?;
            stream.shutdown().await?;
            Ok(None)
        }
        (Welcome::Plaintext, _) => Ok(Some(Transport::Plain(stream))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_and_the_peer_decide() {
        for (first_byte, has_tls, may_do_without, expected) in [
            (b'P', false, false, Welcome::Plaintext),
            (b'P', true, true, Welcome::Plaintext),
            (b'P', true, false, Welcome::TlsOnly),
            (HANDSHAKE, true, false, Welcome::Handshake),
            (HANDSHAKE, true, true, Welcome::Handshake),
            (HANDSHAKE, false, true, Welcome::NoTls),
        ] {
            assert_eq!(welcome(first_byte, has_tls, may_do_without), expected);
        }
    }
}
