//! A connection to a server, with a method for each operation of the API.
//!
//! A [`Client`] is cheap to clone. Its connections are made when they are needed and made
//! again when they break; the first one is made by [`Client::connect`], so that a wrong
//! address shows at once. More than one connection helps above some 500,000 records a second,
//! because one connection is driven by one task at either end.
//!
//! The frames that a server may send are as large as the receiver says (16 KiB unless told),
//! and that decides the speed of reads more than anything else, so we ask for 1 MiB.
//!
//! Calls that only read are tried again as the [`RetryPolicy`] says; calls that change
//! something are not, because their outcome is unknown where the answer got lost.

mod consumers;
mod records;
mod resharding;
mod streams;
mod token;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_proto::v1::streams_client::StreamsClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::consumer::ReaderBuilder;
use crate::dialer::Dialer;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::producer::ProducerBuilder;
use crate::retry::{Retry, RetryPolicy};
use crate::trust::Trust;

/// Bytes of an HTTP/2 frame that the server may send.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Bytes in flight towards us on one call.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes in flight towards us on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A connection that answers no ping for this long is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes of a message from the server: a page of 10 MiB with room to spare.
const DECODED_BYTES_MAX: usize = 32 << 20;
/// Bytes of a message to the server, which accepts no more.
const ENCODED_BYTES_MAX: usize = 16 << 20;

pub use self::token::Token;

/// The generated stub, which signs every call in.
pub type Stub = StreamsClient<InterceptedService<Channel, Token>>;

/// A server, and connections to it.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Arc<str>,
    dialer: Dialer,
    channels: Vec<Channel>,
    /// Calls are spread over the connections in turn.
    turn: AtomicUsize,
    retry: RetryPolicy,
    token: Token,
}

/// What a [`Client`] is made of.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    url: String,
    connections: usize,
    connect_timeout: Duration,
    retry: RetryPolicy,
    trust: Trust,
    identity: Option<Identity>,
    credentials: Option<(String, String)>,
}

impl ClientBuilder {
    /// Signs in with an access key and its secret. Without it the environment decides:
    /// `ANABRANCH_ACCESS_KEY` and `ANABRANCH_SECRET_KEY`, both or none. At `http://` whoever can
    /// read what is sent can read them.
    #[must_use]
    pub fn credentials(mut self, access_key: &str, secret: &str) -> Self {
        self.credentials = Some((access_key.to_owned(), secret.to_owned()));
        self
    }

    /// Connections to the server, at least 1, which is the default.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long making a connection may take: 5 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// How calls that only read are tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Whose word counts for the certificate of a server at `https://`: that of the system's
    /// authorities by default. A server at `http://` shows none.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// A certificate to show to a server at `https://`, which may know us by it. An access key, where
    /// there is one too, goes before it. A server at `http://` is shown none.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Connects.
    pub async fn build(self) -> Result<Client> {
        let token = match &self.credentials {
            Some((access_key, secret)) => Token::new(access_key, secret)?,
            None => Token::from_environment(|name| std::env::var_os(name))?,
        };
        let url = if self.url.contains("://") {
            self.url.clone()
        } else {
            format!("http://{}", self.url)
        };
        let tls = match url.split_once("://") {
            Some(("http", _)) => None,
            Some(("https", _)) => Some(self.trust.config(self.identity.as_ref())?),
            _ => {
                let why = format!("{url}: only http:// and https:// addresses are understood");
                return Err(Error::invalid("server", why));
            }
        };
        let server: Arc<str> = Arc::from(url.trim_end_matches('/'));
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| Error::invalid("server", format!("{url}: {error}")))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .max_frame_size(FRAME_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        let dialer = Dialer::new(endpoint, tls);
        let first =
            dialer.connect().await.map_err(|error| Error::from_transport(&server, &error))?;
        let mut channels = vec![first];
        channels.resize_with(self.connections, || dialer.connect_lazy());
        Ok(Client {
            inner: Arc::new(Inner {
                server,
                dialer,
                channels,
                turn: AtomicUsize::new(0),
                retry: self.retry,
                token,
            }),
        })
    }
}

impl Client {
    /// Connects to a server such as `http://127.0.0.1:4567`.
    pub async fn connect(url: &str) -> Result<Client> {
        Client::builder(url).build().await
    }

    /// Connects with other than default settings.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder {
            url: url.to_owned(),
            connections: 1,
            connect_timeout: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            trust: Trust::default(),
            identity: None,
            credentials: None,
        }
    }

    /// The server's address.
    pub fn server(&self) -> &Arc<str> {
        &self.inner.server
    }

    /// Whether a secret is sent to the server in a way that others on its path can read.
    pub fn is_secret_exposed(&self) -> bool {
        self.inner.token.is_exposed(&self.inner.server)
    }

    /// How calls that only read are tried again.
    pub fn retry_policy(&self) -> RetryPolicy {
        self.inner.retry
    }

    /// A producer for a stream, to be configured and started.
    pub fn producer(&self, stream_name: &str) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), stream_name)
    }

    /// A reader of a stream, to be configured and started.
    pub fn read(&self, stream_name: &str) -> ReaderBuilder {
        ReaderBuilder::new(self.clone(), stream_name)
    }

    /// The generated stub, over the next connection in turn.
    pub fn stub(&self) -> Stub {
        let channels = &self.inner.channels;
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let channel = channels[turn % channels.len()].clone();
        StreamsClient::with_interceptor(channel, self.inner.token.clone())
            .max_decoding_message_size(DECODED_BYTES_MAX)
            .max_encoding_message_size(ENCODED_BYTES_MAX)
    }

    /// The same server over one more connection, made when it is needed.
    ///
    /// Calls on one connection share its window. Subscriptions that nobody reads from for a
    /// while fill it, and then no other call gets an answer: not even the one that the reader
    /// waits for. So whatever may be left unread has a connection of its own.
    pub(crate) fn with_own_connection(&self) -> Client {
        let channels = vec![self.inner.dialer.connect_lazy()];
        Client {
            inner: Arc::new(Inner {
                server: self.inner.server.clone(),
                dialer: self.inner.dialer.clone(),
                channels,
                turn: AtomicUsize::new(0),
                retry: self.inner.retry,
                token: self.inner.token.clone(),
            }),
        }
    }

    /// What a status of this server says.
    pub(crate) fn error(&self, status: Status) -> Error {
        Error::from_status(&self.inner.server, status)
    }

    fn reply<T>(&self, result: Result<Response<T>, Status>) -> Result<T> {
        result.map(Response::into_inner).map_err(|status| self.error(status))
    }

    /// Calls something that only reads, until it succeeds or patience is at its end.
    async fn reading<T, F>(&self, call: impl Fn(Stub) -> F) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut retry = Retry::new(self.inner.retry);
        loop {
            match self.reply(call(self.stub()).await) {
                Ok(reply) => return Ok(reply),
                Err(error) => retry.pause(error).await?,
            }
        }
    }
}
