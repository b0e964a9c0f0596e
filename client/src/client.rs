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

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_proto::v1;
use anabranch_proto::v1::streams_client::StreamsClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::consumer::{Position, ReaderBuilder};
use crate::error::{Error, Result};
use crate::producer::{ProducerBuilder, Record};
use crate::retry::{Retry, RetryPolicy};

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

/// A server, and connections to it.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Arc<str>,
    endpoint: Endpoint,
    channels: Vec<Channel>,
    /// Calls are spread over the connections in turn.
    turn: AtomicUsize,
    retry: RetryPolicy,
}

/// What a [`Client`] is made of.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    url: String,
    connections: usize,
    connect_timeout: Duration,
    retry: RetryPolicy,
}

impl ClientBuilder {
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

    /// Connects.
    pub async fn build(self) -> Result<Client> {
        let url = if self.url.contains("://") {
            self.url.clone()
        } else {
            format!("http://{}", self.url)
        };
        if !url.starts_with("http://") {
            return Err(Error::invalid(
                "server",
                format!("{url}: only http:// addresses are understood"),
            ));
        }
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
        let first =
            endpoint.connect().await.map_err(|error| Error::from_transport(&server, &error))?;
        let mut channels = vec![first];
        channels.resize_with(self.connections, || endpoint.connect_lazy());
        Ok(Client {
            inner: Arc::new(Inner {
                server,
                endpoint,
                channels,
                turn: AtomicUsize::new(0),
                retry: self.retry,
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
        }
    }

    /// The server's address.
    pub fn server(&self) -> &Arc<str> {
        &self.inner.server
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
    pub fn stub(&self) -> StreamsClient<Channel> {
        let channels = &self.inner.channels;
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        StreamsClient::new(channels[turn % channels.len()].clone())
            .max_decoding_message_size(DECODED_BYTES_MAX)
            .max_encoding_message_size(ENCODED_BYTES_MAX)
    }

    /// The same server over one more connection, made when it is needed.
    ///
    /// Calls on one connection share its window. Subscriptions that nobody reads from for a
    /// while fill it, and then no other call gets an answer: not even the one that the reader
    /// waits for. So whatever may be left unread has a connection of its own.
    pub(crate) fn with_own_connection(&self) -> Client {
        let channels = vec![self.inner.endpoint.connect_lazy()];
        Client {
            inner: Arc::new(Inner {
                server: self.inner.server.clone(),
                endpoint: self.inner.endpoint.clone(),
                channels,
                turn: AtomicUsize::new(0),
                retry: self.inner.retry,
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
    async fn reading<T, F>(&self, call: impl Fn(StreamsClient<Channel>) -> F) -> Result<T>
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

    // ---- streams ---------------------------------------------------------------------------

    /// Makes a stream. It is ready when the call returns.
    pub async fn create_stream(&self, stream_name: &str, shard_count: u32) -> Result<()> {
        let request = v1::CreateStreamRequest {
            stream_name: stream_name.to_owned(),
            shard_count,
            ..Default::default()
        };
        self.reply(self.stub().create_stream(request).await)?;
        Ok(())
    }

    /// Deletes a stream and its records; with `enforce_consumer_deletion` its registered
    /// consumers too, which otherwise forbid it.
    pub async fn delete_stream(
        &self,
        stream_name: &str,
        enforce_consumer_deletion: bool,
    ) -> Result<()> {
        let request = v1::DeleteStreamRequest {
            stream_name: stream_name.to_owned(),
            enforce_consumer_deletion,
            ..Default::default()
        };
        self.reply(self.stub().delete_stream(request).await)?;
        Ok(())
    }

    /// Describes a stream without its shards.
    pub async fn describe_stream_summary(
        &self,
        stream_name: &str,
    ) -> Result<v1::StreamDescriptionSummary> {
        let request = v1::DescribeStreamSummaryRequest {
            stream_name: stream_name.to_owned(),
            ..Default::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream_summary(request).await }
            })
            .await?;
        Ok(reply.stream_description_summary.unwrap_or_default())
    }

    /// Describes a stream and one page of its shards: at most `limit` (1 to 10,000, by default
    /// 100) behind the given one.
    pub async fn describe_stream(
        &self,
        stream_name: &str,
        limit: Option<u32>,
        exclusive_start_shard_id: Option<&str>,
    ) -> Result<v1::StreamDescription> {
        let request = v1::DescribeStreamRequest {
            stream_name: stream_name.to_owned(),
            limit,
            exclusive_start_shard_id: exclusive_start_shard_id.map(str::to_owned),
            ..Default::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream(request).await }
            })
            .await?;
        Ok(reply.stream_description.unwrap_or_default())
    }

    /// All streams, by name.
    pub async fn list_streams(&self) -> Result<Vec<v1::StreamSummary>> {
        let mut streams: Vec<v1::StreamSummary> = Vec::new();
        loop {
            let request = v1::ListStreamsRequest {
                limit: Some(1000),
                exclusive_start_stream_name: streams.last().map(|last| last.stream_name.clone()),
                ..Default::default()
            };
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_streams(request).await }
                })
                .await?;
            let is_last = !page.has_more_streams || page.stream_summaries.is_empty();
            streams.extend(page.stream_summaries);
            if is_last {
                return Ok(streams);
            }
        }
    }

    /// All shards of a stream, by index.
    pub async fn list_shards(&self, stream_name: &str) -> Result<Vec<v1::Shard>> {
        let mut shards = Vec::new();
        let mut request = v1::ListShardsRequest {
            stream_name: stream_name.to_owned(),
            ..v1::ListShardsRequest::default()
        };
        loop {
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_shards(request).await }
                })
                .await?;
            shards.extend(page.shards);
            let Some(next_token) = page.next_token else {
                return Ok(shards);
            };
            request = v1::ListShardsRequest {
                next_token: Some(next_token),
                ..v1::ListShardsRequest::default()
            };
        }
    }

    /// Keeps records for longer, up to 8,760 hours.
    pub async fn increase_stream_retention_period(
        &self,
        stream_name: &str,
        retention_period_hours: u32,
    ) -> Result<()> {
        let request = v1::IncreaseStreamRetentionPeriodRequest {
            stream_name: stream_name.to_owned(),
            retention_period_hours,
            ..Default::default()
        };
        self.reply(self.stub().increase_stream_retention_period(request).await)?;
        Ok(())
    }

    /// Keeps records for less long, down to 24 hours.
    pub async fn decrease_stream_retention_period(
        &self,
        stream_name: &str,
        retention_period_hours: u32,
    ) -> Result<()> {
        let request = v1::DecreaseStreamRetentionPeriodRequest {
            stream_name: stream_name.to_owned(),
            retention_period_hours,
            ..Default::default()
        };
        self.reply(self.stub().decrease_stream_retention_period(request).await)?;
        Ok(())
    }

    // ---- records ---------------------------------------------------------------------------

    /// Puts one record with a call of its own. For more than a few a [`Client::producer`] is
    /// twenty times faster. `sequence_number_for_ordering` is the number that this producer's
    /// last record of the same key got.
    pub async fn put_record(
        &self,
        stream_name: &str,
        record: Record,
        sequence_number_for_ordering: Option<u64>,
    ) -> Result<v1::PutRecordResponse> {
        let request = v1::PutRecordRequest {
            stream_name: stream_name.to_owned(),
            data: record.data,
            partition_key: record.partition_key,
            explicit_hash_key: record.explicit_hash_key,
            sequence_number_for_ordering,
            ..Default::default()
        };
        self.reply(self.stub().put_record(request).await)
    }

    /// Puts up to 500 records with one call. Each has its own outcome.
    pub async fn put_records(
        &self,
        stream_name: &str,
        records: Vec<Record>,
    ) -> Result<v1::PutRecordsResponse> {
        let request = v1::PutRecordsRequest {
            stream_name: stream_name.to_owned(),
            records: records.into_iter().map(Record::into_entry).collect(),
            ..Default::default()
        };
        self.reply(self.stub().put_records(request).await)
    }

    /// A position in a shard as a token for [`Client::get_records`], valid for 300 seconds.
    pub async fn get_shard_iterator(
        &self,
        stream_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<String> {
        Ok(self.locate(stream_name, shard_id, position).await?.shard_iterator)
    }

    /// A position in a shard as a token and as a number.
    pub(crate) async fn locate(
        &self,
        stream_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<v1::GetShardIteratorResponse> {
        let start = position.to_starting_position();
        let request = v1::GetShardIteratorRequest {
            stream_name: stream_name.to_owned(),
            shard_id: shard_id.to_owned(),
            shard_iterator_type: start.r#type,
            starting_sequence_number: start.sequence_number,
            timestamp_ms: start.timestamp_ms,
            ..Default::default()
        };
        self.reading(|mut stub| {
            let request = request.clone();
            async move { stub.get_shard_iterator(request).await }
        })
        .await
    }

    /// Reads one page. It is not tried again: a [`Client::read`] does that, and renews what
    /// has expired.
    pub async fn get_records(
        &self,
        request: v1::GetRecordsRequest,
    ) -> Result<v1::GetRecordsResponse> {
        self.reply(self.stub().get_records(request).await)
    }

    // ---- consumers -------------------------------------------------------------------------

    /// Registers a consumer for push. It is ready when the call returns.
    pub async fn register_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<v1::Consumer> {
        let request = v1::RegisterStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::RegisterStreamConsumerRequest::default()
        };
        let reply = self.reply(self.stub().register_stream_consumer(request).await)?;
        Ok(reply.consumer.unwrap_or_default())
    }

    /// Describes a consumer.
    pub async fn describe_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<v1::Consumer> {
        let request = v1::DescribeStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::DescribeStreamConsumerRequest::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream_consumer(request).await }
            })
            .await?;
        Ok(reply.consumer_description.unwrap_or_default())
    }

    /// All consumers of a stream, by name.
    pub async fn list_stream_consumers(&self, stream_name: &str) -> Result<Vec<v1::Consumer>> {
        let mut consumers = Vec::new();
        let mut request = v1::ListStreamConsumersRequest {
            stream_name: stream_name.to_owned(),
            ..v1::ListStreamConsumersRequest::default()
        };
        loop {
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_stream_consumers(request).await }
                })
                .await?;
            consumers.extend(page.consumers);
            if page.next_token.is_none() {
                return Ok(consumers);
            }
            request.next_token = page.next_token;
        }
    }

    /// Removes a consumer and ends its subscriptions.
    pub async fn deregister_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<()> {
        let request = v1::DeregisterStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::DeregisterStreamConsumerRequest::default()
        };
        self.reply(self.stub().deregister_stream_consumer(request).await)?;
        Ok(())
    }

    /// Subscribes to a shard for five minutes. A [`Client::read`] with push subscribes again
    /// by itself.
    pub async fn subscribe_to_shard(
        &self,
        stream_name: &str,
        consumer_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<Streaming<v1::SubscribeToShardEvent>> {
        let request = v1::SubscribeToShardRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            shard_id: shard_id.to_owned(),
            starting_position: Some(position.to_starting_position()),
            ..v1::SubscribeToShardRequest::default()
        };
        self.reply(self.stub().subscribe_to_shard(request).await)
    }
}
