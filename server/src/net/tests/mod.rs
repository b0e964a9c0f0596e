//! Ports and their peers, over real sockets. Where time matters the clock is paused: it moves to
//! the next timer when every task waits.

mod hostile;
mod life;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{OpenPort, Port};

/// A request, whole.
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn port() -> Port {
    Port::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "--listen").unwrap()
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// A port that says hello to every request.
fn greeter() -> OpenPort {
    port().open(service_fn(hello))
}

async fn connect(open: &OpenPort) -> TcpStream {
    TcpStream::connect(open.address()).await.unwrap()
}

/// Reads one reply to [`GET`], and nothing beyond it.
async fn read_hello(stream: &mut (impl AsyncRead + Unpin)) {
    let mut reply = Vec::new();
    while !reply.ends_with(b"hello") {
        reply.push(stream.read_u8().await.unwrap());
    }
    assert!(reply.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&reply));
}

/// What comes until the end, be it in order or a reset: which of them is the kernel's choice.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8_lossy(&reply).into_owned()
}
