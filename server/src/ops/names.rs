//! From the names, ids and numbers of a request to what they name.
//!
//! Every request that names a stream does so by the same two fields: its name, its ARN, or both
//! if they agree. [`Ops::named_stream`] is the one place where that is decided. An ARN of any
//! account and region resolves by the name in it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use anabranch_engine::error::Error;
use anabranch_engine::ids::{ConsumerName, ShardId, StreamName};
use anabranch_engine::{Consumer, Shard, Stream};
use anabranch_proto::v1;

use super::{Kind, OpError, Ops, Result};
use crate::aws::arn;

/// The fields by which a request names a stream; empty ones are not given.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StreamFields<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// The stream's ARN.
    pub arn: &'a str,
}

impl<'a> StreamFields<'a> {
    /// A stream that is named by its name.
    pub fn by_name(name: &'a str) -> Self {
        StreamFields { name, arn: "" }
    }

    /// Whether neither is given.
    pub fn is_empty(self) -> bool {
        self.name.is_empty() && self.arn.is_empty()
    }

    /// The name that they agree on.
    pub fn stream_name(self) -> Result<StreamName> {
        if self.arn.is_empty() {
            if self.name.is_empty() {
                let message = "Either StreamName or StreamARN should be provided.";
                return Err(OpError::in_its_words(Kind::InvalidArgument, "stream_name", message));
            }
            return stream_name(self.name);
        }
        let by_arn = arn::parse_stream(self.arn)
            .map_err(|why| OpError::invalid_text("stream_arn", self.arn, why))?;
        if !self.name.is_empty() && self.name != by_arn.as_str() {
            let why = format_args!("stream_arn names another stream, {by_arn}");
            return Err(OpError::invalid_text("stream_name", self.name, why));
        }
        Ok(by_arn)
    }
}

/// A request that names a stream.
pub(super) trait NamesStream {
    /// The fields by which it does.
    fn stream_fields(&self) -> StreamFields<'_>;
}

impl NamesStream for StreamFields<'_> {
    fn stream_fields(&self) -> StreamFields<'_> {
        *self
    }
}

macro_rules! names_stream {
    ($($request:ident,)*) => {
        $(impl NamesStream for v1::$request {
            fn stream_fields(&self) -> StreamFields<'_> {
                StreamFields { name: &self.stream_name, arn: &self.stream_arn }
            }
        })*
    };
}

names_stream! {
    AddTagsToStreamRequest,
    DecreaseStreamRetentionPeriodRequest,
    DeleteStreamRequest,
    DescribeShardLoadRequest,
    DescribeStreamRequest,
    DescribeStreamSummaryRequest,
    DisableEnhancedMonitoringRequest,
    EnableEnhancedMonitoringRequest,
    GetShardIteratorRequest,
    IncreaseStreamRetentionPeriodRequest,
    ListShardsRequest,
    ListStreamConsumersRequest,
    ListTagsForStreamRequest,
    MergeShardsRequest,
    PutRecordRequest,
    RegisterStreamConsumerRequest,
    RemoveTagsFromStreamRequest,
    SetQuotasRequest,
    SplitShardRequest,
    StartStreamEncryptionRequest,
    StopStreamEncryptionRequest,
    UpdateMaxRecordSizeRequest,
    UpdateShardCountRequest,
    UpdateStreamModeRequest,
    UpdateStreamRecordDistributionStrategyRequest,
    UpdateStreamWarmThroughputRequest,
}

/// The fields by which a request names a consumer; empty ones are not given.
pub(super) struct ConsumerFields<'a> {
    /// The consumer's ARN, in place of all the others.
    pub(super) consumer_arn: &'a str,
    /// The stream's ARN.
    pub(super) stream_arn: &'a str,
    /// The stream's name.
    pub(super) stream_name: &'a str,
    /// The consumer's name.
    pub(super) consumer_name: &'a str,
}

impl Ops {
    /// The stream that a request names.
    pub(super) fn named_stream(&self, request: &impl NamesStream) -> Result<Arc<Stream>> {
        self.stream_of_name(&request.stream_fields().stream_name()?)
    }

    /// The stream that a request names and wants to change: it must be ACTIVE.
    pub(super) fn active_stream(&self, request: &impl NamesStream) -> Result<Arc<Stream>> {
        let stream = self.named_stream(request)?;
        self.check_active(&stream)?;
        Ok(stream)
    }

    /// Refuses a stream that is being made, changed or deleted.
    pub(super) fn check_active(&self, stream: &Stream) -> Result<()> {
        let status = self.status(stream);
        if status == v1::StreamStatus::Active {
            return Ok(());
        }
        Err(self.not_active(stream, status))
    }

    /// The refusal of a stream in that status.
    pub(super) fn not_active(&self, stream: &Stream, status: v1::StreamStatus) -> OpError {
        let (name, account, state) = (stream.name(), &self.owner.account, status.as_str_name());
        let message =
            format!("Stream {name} under account {account} not ACTIVE, instead in state {state}");
        OpError::new(Kind::ResourceInUse, message)
            .with("stream_name", name.as_str())
            .with("stream_status", state)
    }

    /// The stream that these fields name, for its records: it is not to be found before it is
    /// ACTIVE.
    pub fn stream(&self, fields: StreamFields<'_>) -> Result<Arc<Stream>> {
        let stream = self.stream_of_name(&fields.stream_name()?)?;
        match self.status(&stream) {
            v1::StreamStatus::Creating => Err(self.no_such_stream(stream.name())),
            _ => Ok(stream),
        }
    }

    /// The stream of that name.
    pub(super) fn stream_of_name(&self, name: &StreamName) -> Result<Arc<Stream>> {
        self.engine.stream(name).map_err(|error| match error {
            Error::StreamNotFound { .. } => self.no_such_stream(name),
            error => error.into(),
        })
    }

    fn no_such_stream(&self, name: &StreamName) -> OpError {
        let message = format!("Stream {name} under account {} not found.", self.owner.account);
        OpError::new(Kind::ResourceNotFound, message).with("stream_name", name.as_str())
    }

    /// The shard of that id.
    pub(super) fn shard(&self, stream: &Stream, id: &str) -> Result<Arc<Shard>> {
        let id = shard_id("shard_id", id)?;
        let found = stream.shard(id);
        found.map_err(|error| match error {
            Error::ShardNotFound { .. } => {
                let (name, account) = (stream.name(), &self.owner.account);
                let message =
                    format!("Shard {id} in stream {name} under account {account} does not exist");
                OpError::new(Kind::ResourceNotFound, message)
                    .with("stream_name", name.as_str())
                    .with("shard_id", id.to_string())
            }
            error => error.into(),
        })
    }

    /// The consumer named by its ARN, or by its name and its stream.
    pub(super) fn consumer(&self, fields: &ConsumerFields<'_>) -> Result<(Arc<Stream>, Consumer)> {
        if fields.consumer_arn.is_empty() {
            let of = StreamFields { name: fields.stream_name, arn: fields.stream_arn };
            let stream = self.stream(of)?;
            let consumer = stream.consumer(&consumer_name(fields.consumer_name)?)?;
            return Ok((stream, consumer));
        }
        let others = [fields.stream_arn, fields.stream_name, fields.consumer_name];
        if others.iter().any(|field| !field.is_empty()) {
            let why = "stands in place of the names of stream and consumer";
            return Err(OpError::invalid("consumer_arn", why));
        }
        self.consumer_of_arn("consumer_arn", fields.consumer_arn)
    }

    /// The consumer that an ARN names.
    pub(super) fn consumer_of_arn(
        &self,
        field: &'static str,
        text: &str,
    ) -> Result<(Arc<Stream>, Consumer)> {
        let named = arn::parse_consumer(text).map_err(|_| {
            let why =
                "not an ARN such as arn:aws:kinesis:REGION:ACCOUNT:stream/NAME/consumer/NAME:1";
            OpError::invalid_text(field, text, why)
        })?;
        let stream = self.stream_of_name(&named.stream)?;
        let consumer = stream.consumer(&named.consumer)?;
        // The seconds tell a consumer from one that was registered later under its name.
        if consumer.created_ms / 1000 != named.created_seconds {
            let message = format!("consumer {} was registered anew", named.consumer);
            return Err(OpError::new(Kind::ResourceNotFound, message)
                .with("stream_name", named.stream.as_str())
                .with("consumer_name", named.consumer.as_str()));
        }
        Ok((stream, consumer))
    }

    /// Refuses a stream that is another incarnation than the one that was made at that time.
    /// Clients that keep seconds only are understood.
    pub(super) fn check_creation(&self, stream: &Stream, created_ms: Option<u64>) -> Result<()> {
        let Some(created_ms) = created_ms else { return Ok(()) };
        let actual_ms = stream.created_ms();
        let is_same = match created_ms % 1000 {
            0 => created_ms / 1000 == actual_ms / 1000,
            _ => created_ms == actual_ms,
        };
        if is_same {
            return Ok(());
        }
        let (name, account) = (stream.name(), &self.owner.account);
        let message = format!(
            "Stream {name} under account {account} not found: the one of that name was made at \
             {actual_ms} and not at {created_ms} (ms since 1970)"
        );
        Err(OpError::new(Kind::ResourceNotFound, message)
            .with("stream_name", name.as_str())
            .with("stream_creation_timestamp_ms", actual_ms.to_string()))
    }
}

/// Parses a stream's name.
pub(super) fn stream_name(text: &str) -> Result<StreamName> {
    text.parse().map_err(|why| OpError::invalid_text("stream_name", text, why))
}

/// Parses a consumer's name.
pub(super) fn consumer_name(text: &str) -> Result<ConsumerName> {
    text.parse().map_err(|why| OpError::invalid_text("consumer_name", text, why))
}

/// Parses a shard id, in full or in short.
pub(super) fn shard_id(field: &'static str, text: &str) -> Result<ShardId> {
    text.parse().map_err(|why| OpError::invalid_text(field, text, why))
}

/// A number within its limits, or its default.
pub(super) fn within(
    field: &'static str,
    value: Option<u32>,
    allowed: RangeInclusive<u32>,
    default: u32,
) -> Result<usize> {
    let value = value.unwrap_or(default);
    if allowed.contains(&value) {
        return Ok(value as usize);
    }
    let (min, max) = (u64::from(*allowed.start()), u64::from(*allowed.end()));
    Err(OpError::out_of_range(field, u64::from(value), min, max))
}
