//! A port: accepts connections, bounds what a peer may hold, and ends in an orderly way.
//!
//! hyper-util's auto builder serves HTTP/1.1 and h2c with prior knowledge on one socket. The
//! limits below are ours and not hyper's defaults, because a broker's peers differ from a web
//! site's: few, long-lived, and moving megabytes. Each bounds what one connection can cost; the
//! number of connections bounds the sum.
//!
//! A port knows nothing of what it serves: the client port and the admin port hand it a service
//! and get the same limits. It owns the tasks of its connections: [`OpenPort::close`] stops
//! accepting, tells every connection to finish, waits, and drops what has not finished.
//! [`Greeting`] closes the one gap that hyper leaves, a peer that never says which protocol it
//! speaks.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Connections of one port. A subscription or a producer takes one at most, so this is far above
/// what one machine serves; it leaves file descriptors for segments under the usual hard limit
/// (about 524,288), and at about 50 KiB of idle state each it is 500 MiB that a flood can cost.
const CONNECTIONS_MAX: usize = 10_000;

/// Connections that the kernel holds while all slots are taken or the accept loop is behind.
const BACKLOG: u32 = 1024;

/// HTTP/2: bytes of a frame. The default of 16 KiB makes 64 frames and as many small writes out
/// of a 1 MiB event; our own client takes frames of this size.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// HTTP/2: bytes a peer may send on one stream before we have read them. Holds a usual batch
/// whole, so that a producer on a fast link never waits for a window update.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// HTTP/2: the same for a connection: four busy streams.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// HTTP/2: bytes of one stream that wait to be sent before more is asked of its reply. A chunk
/// that is larger goes in whole. It is what a subscriber costs that has given us a window and
/// does not read its socket; the kernel's buffers keep a fast one busy meanwhile.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// HTTP/2: open streams of one connection. A client that reads 1,000 shards uses several.
const STREAMS_MAX: u32 = 256;

/// HTTP/2: bytes of a request's headers. Ours have some 300.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// HTTP/2: a peer that is silent for this long is asked for a sign of life, and has the same
/// time again to give it: a vanished subscriber is gone within 40 s.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// HTTP/1.1: headers of a request.
const HEADERS_MAX: usize = 64;

/// Time for a peer to say what protocol it speaks, and for an HTTP/1.1 request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes by which the protocol is known: those of the HTTP/2 preface.
const GREETING_BYTES: usize = 24;

/// Pause after a failed accept. Running out of file descriptors fails every accept until a
/// connection ends; without a pause the loop would take a core to find that out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port that could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {}", reason(source, *address, flag))]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// The flag that sets it.
    pub flag: &'static str,
    /// The system's answer.
    pub source: io::Error,
}

fn reason(source: &io::Error, address: SocketAddr, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {} is in use by another process; stop it, or choose another with {flag} \
             {}:PORT (0 takes a free one)",
            address.port(),
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege; choose another with {flag} {}:PORT",
            address.ip()
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have that address; choose another with {flag}")
        }
        _ => source.to_string(),
    }
}

/// A bound socket whose connections wait in the kernel until it is opened.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds `address`, which `flag` has set. Must be called on the runtime.
    pub fn bind(address: SocketAddr, flag: &'static str) -> Result<Self, BindError> {
        let bind = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            // Without it a restarted server could not bind while connections of the former one
            // wait out their time.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|source| BindError { address, flag, source })
    }

    /// The address that is really bound: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to serve `service` on every connection.
    pub fn open<S, B>(self, service: S) -> OpenPort
    where
        S: hyper::service::Service<Request<Incoming>, Response = Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let address = self.address;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            accept(self.listener, service, &stopped, &mut connections).await;
            connections
        });
        OpenPort { address, stop, task }
    }
}

/// A port that serves connections.
#[derive(Debug)]
pub struct OpenPort {
    address: SocketAddr,
    /// Cancelled once: no more connections, and those that are there finish.
    stop: CancellationToken,
    /// The accept loop; it ends with the connections that are still there.
    task: JoinHandle<JoinSet<()>>,
}

impl OpenPort {
    /// The address that is really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets connections finish for as long as `patience`, drops the rest, and
    /// says how many those were.
    pub async fn close(self, patience: Duration) -> usize {
        self.stop.cancel();
        let Ok(mut connections) = self.task.await else {
            return 0;
        };
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(patience, finished).await.is_ok() {
            return 0;
        }
        let dropped = connections.len();
        connections.shutdown().await;
        dropped
    }
}

async fn accept<S, B>(
    listener: TcpListener,
    service: S,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let builder = Arc::new(builder());
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Finished tasks are reaped as new connections come, so the set never holds more than
        // the slots allow.
        while connections.try_join_next().is_some() {}
        if slots.available_permits() == 0 {
            warn!(connections = CONNECTIONS_MAX, "all connections are taken; new ones wait");
        }
        let slot = tokio::select! {
            () = stop.cancelled() => return,
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("it is never closed"),
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The peer has gone again: nothing is wrong on our side.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                warn!(%error, "cannot accept a connection; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (builder, service, stop) = (Arc::clone(&builder), service.clone(), stop.clone());
        connections.spawn(async move {
            if let Err(error) = serve(&builder, stream, service, &stop).await {
                // A peer that breaks off or breaks the protocol is its own problem.
                debug!(%peer, error, "connection ended");
            }
            drop(slot);
        });
    }
}

async fn serve<S, B>(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    service: S,
    stop: &CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    // An acknowledgement is a few bytes: it must not wait for more to go with it.
    stream.set_nodelay(true)?;
    let io = TokioIo::new(Greeting::new(stream));
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_frame_size(FRAME_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

/// A connection whose peer has [`HEADER_TIMEOUT`] for its first bytes.
///
/// hyper's own timeouts start when the protocol is known; a peer that sends nothing, or the
/// beginning of a preface, would hold its slot for ever.
struct Greeting {
    stream: TcpStream,
    /// Bytes still awaited, and until when; `None` from then on.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Greeting {
    fn new(stream: TcpStream) -> Self {
        let deadline = Box::pin(sleep(HEADER_TIMEOUT));
        Self { stream, awaited: Some((GREETING_BYTES, deadline)) }
    }
}

impl AsyncRead for Greeting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some((bytes, deadline)) = &mut self.awaited else {
            return read;
        };
        if read.is_pending() {
            ready!(deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        *bytes = bytes.saturating_sub(buffer.filled().len() - filled);
        if *bytes == 0 {
            self.awaited = None;
        }
        read
    }
}

impl AsyncWrite for Greeting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_with_the_flag_that_changes_it() {
        let taken = Port::bind(loopback(), "--listen").unwrap();
        let refused = Port::bind(taken.address(), "--listen").unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(&taken.address().to_string()), "{text}");
        assert!(text.contains("in use") && text.contains("--listen"), "{text}");
    }

    #[tokio::test]
    async fn requests_are_answered_until_the_port_is_closed() {
        let port = Port::bind(loopback(), "--listen").unwrap();
        let open = port.open(service_fn(hello));
        let mut client = TcpStream::connect(open.address()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello"), "{reply}");
        let address = open.address();
        assert_eq!(open.close(Duration::from_secs(4)).await, 0);
        assert!(TcpStream::connect(address).await.is_err());
    }

    /// The clock is paused: it moves to the next timer when every task waits.
    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_nothing_is_dropped() {
        for greeting in ["", "PRI * HT"] {
            let port = Port::bind(loopback(), "--listen").unwrap();
            let open = port.open(service_fn(hello));
            let mut client = TcpStream::connect(open.address()).await.unwrap();
            client.write_all(greeting.as_bytes()).await.unwrap();
            let mut reply = Vec::new();
            // Whether it ends with a reset or in order is the kernel's choice.
            let _ = client.read_to_end(&mut reply).await;
            assert!(reply.is_empty());
        }
    }

    /// A request that never ends does not hold up the end of the process.
    #[tokio::test]
    async fn a_connection_that_does_not_finish_is_dropped_after_the_patience() {
        let (started, mut starts) = tokio::sync::mpsc::channel(1);
        let endless = service_fn(move |_: Request<Incoming>| {
            let started = started.clone();
            async move {
                started.send(()).await.expect("the test waits for it");
                std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        });
        let open = Port::bind(loopback(), "--listen").unwrap().open(endless);
        let mut client = TcpStream::connect(open.address()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        starts.recv().await.unwrap();
        assert_eq!(open.close(Duration::from_millis(10)).await, 1);
    }
}
