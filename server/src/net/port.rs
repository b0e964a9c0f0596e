//! A port: accepts connections and ends in an orderly way.
//!
//! A port knows nothing of what it serves: the client port and the admin port hand it a service
//! and get the same limits. It owns the tasks of its connections: [`OpenPort::close`] stops
//! accepting, tells every connection to finish, waits, and drops what has not finished.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connection::{Rules, serve};
use super::limits::{ACCEPT_PAUSE, BACKLOG, CONNECTIONS_MAX, builder};
use super::tls::Tls;

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
    tls: Option<Arc<Tls>>,
    /// With TLS: whether others than this machine may do without.
    is_plaintext_for_all: bool,
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
            Ok(Self { listener, address, tls: None, is_plaintext_for_all: false })
        };
        bind().map_err(|source| BindError { address, flag, source })
    }

    /// The address that is really bound: never port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Speaks TLS, too. This machine may go on without; others may if `is_plaintext_for_all`.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>, is_plaintext_for_all: bool) -> Self {
        self.tls = Some(tls);
        self.is_plaintext_for_all = is_plaintext_for_all;
        self
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
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + Unpin
            + 'static,
    {
        let address = self.address;
        let rules = Rules::new(builder(), self.tls, self.is_plaintext_for_all);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            accept(self.listener, rules, service, &stopped, &mut connections).await;
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
    rules: Rules,
    service: S,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let rules = Arc::new(rules);
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
        let (rules, service, stop) = (Arc::clone(&rules), service.clone(), stop.clone());
        connections.spawn(async move {
            if let Err(error) = serve(&rules, stream, peer, service, &stop).await {
                // A peer that breaks off or breaks the protocol is its own problem.
                debug!(%peer, error, "connection ended");
            }
            drop(slot);
        });
    }
}
