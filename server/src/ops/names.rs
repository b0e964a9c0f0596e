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

use super::{Kind, OpError, Ops, Result, error};
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
#[derive(Clone, Copy, Debug)]
pub struct ConsumerFields<'a> {
    /// The consumer's ARN, in place of all the others.
    pub consumer_arn: &'a str,
    /// The stream's ARN.
    pub stream_arn: &'a str,
    /// The stream's name.
    pub stream_name: &'a str,
    /// The consumer's name.
    pub consumer_name: &'a str,
}

/// A consumer as a request names it.
#[derive(Clone)]
pub(super) struct NamedConsumer {
    /// The stream, which is there.
    pub(super) stream: Arc<Stream>,
    /// The consumer's name.
    pub(super) name: ConsumerName,
    /// The second in which it was registered, if the request says so.
    pub(super) created_seconds: Option<u64>,
}

impl NamedConsumer {
    /// The consumer, if it is registered.
    pub(super) fn registered(self) -> Result<(Arc<Stream>, Consumer)> {
        let NamedConsumer { stream, name, created_seconds } = self;
        let consumer = stream.consumer(&name)?;
        // The seconds tell a consumer from one that was registered later under its name.
        if created_seconds.is_some_and(|seconds| consumer.created_ms / 1000 != seconds) {
            let message = format!("consumer {name} was registered anew");
            return Err(OpError::new(Kind::ResourceNotFound, message)
                .with("stream_name", stream.name().as_str())
                .with("consumer_name", name.as_str()));
        }
        Ok((stream, consumer))
    }
}

impl Ops {
    /// The stream that a request names.
    pub(super) fn named_stream(&self, request: &impl NamesStream) -> Result<Arc<Stream>> {
        self.stream_of_name(&request.stream_fields().stream_name()?)
    }

    /// The stream that a request names and wants to change: it must be ACTIVE.
    pub(super) fn active_stream(&self, request: &impl NamesStream) -> Result<Arc<Stream>> {
        let name = request.stream_fields().stream_name()?;
        self.check_not_deleting(&name)?;
        let stream = self.stream_of_name(&name)?;
        self.check_active(&stream)?;
        Ok(stream)
    }

    /// Refuses the name of a stream that is gone and still shown.
    pub(super) fn check_not_deleting(&self, name: &StreamName) -> Result<()> {
        match self.deleting(name) {
            Some(_) => Err(self.not_active(name, v1::StreamStatus::Deleting)),
            None => Ok(()),
        }
    }

    /// Refuses a stream that is being made, changed or deleted.
    pub(super) fn check_active(&self, stream: &Stream) -> Result<()> {
        let status = self.status(stream);
        if status == v1::StreamStatus::Active {
            return Ok(());
        }
        Err(self.not_active(stream.name(), status))
    }

    /// Refuses a stream that is being made: there is nothing yet of what the caller asks about.
    pub(super) fn check_made(&self, stream: &Stream) -> Result<()> {
        match self.status(stream) {
            v1::StreamStatus::Creating => {
                Err(self.not_active(stream.name(), v1::StreamStatus::Creating))
            }
            _ => Ok(()),
        }
    }

    /// The refusal of a stream in that status.
    pub(super) fn not_active(&self, name: &StreamName, status: v1::StreamStatus) -> OpError {
        let (account, state) = (&self.owner.account, status.as_str_name());
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
        let not_found = |shown: String| {
            let (name, account) = (stream.name(), &self.owner.account);
            let message =
                format!("Shard {shown} in stream {name} under account {account} does not exist");
            OpError::new(Kind::ResourceNotFound, message)
                .with("stream_name", name.as_str())
                .with("shard_id", shown)
        };
        // Whatever the model lets through may be a shard's name, and is then none of this stream's.
        let Ok(id) = id.parse::<ShardId>() else {
            return Err(not_found(error::shown(id)));
        };
        stream.shard(id).map_err(|error| match error {
            Error::ShardNotFound { .. } => not_found(id.to_string()),
            error => error.into(),
        })
    }

    /// The consumer named by its ARN, or by its name and its stream.
    pub(super) fn consumer(&self, fields: &ConsumerFields<'_>) -> Result<(Arc<Stream>, Consumer)> {
        self.named_consumer(fields)?.registered()
    }

    /// What a request says of a consumer, which may be registered or not.
    pub(super) fn named_consumer(&self, fields: &ConsumerFields<'_>) -> Result<NamedConsumer> {
        if fields.consumer_arn.is_empty() {
            let of = StreamFields { name: fields.stream_name, arn: fields.stream_arn };
            let stream = self.stream(of)?;
            let name = consumer_name(fields.consumer_name)?;
            return Ok(NamedConsumer { stream, name, created_seconds: None });
        }
        let named = self.named_consumer_of_arn("consumer_arn", fields.consumer_arn)?;
        // What stands beside it has to name the same.
        let of = StreamFields { name: fields.stream_name, arn: fields.stream_arn };
        let names_another_stream = !of.is_empty() && of.stream_name()? != *named.stream.name();
        let names_another =
            !fields.consumer_name.is_empty() && consumer_name(fields.consumer_name)? != named.name;
        if names_another_stream || names_another {
            let why = "names another consumer than the fields beside it";
            return Err(OpError::invalid("consumer_arn", why));
        }
        Ok(named)
    }

    /// The consumer that an ARN names.
    pub(super) fn consumer_of_arn(
        &self,
        field: &'static str,
        text: &str,
    ) -> Result<(Arc<Stream>, Consumer)> {
        self.named_consumer_of_arn(field, text)?.registered()
    }

    fn named_consumer_of_arn(&self, field: &'static str, text: &str) -> Result<NamedConsumer> {
        let named = arn::parse_consumer(text).map_err(|_| not_a_consumer(field, text))?;
        let stream = self.stream_of_name(&named.stream)?;
        let created_seconds = Some(named.created_seconds);
        Ok(NamedConsumer { stream, name: named.consumer, created_seconds })
    }

    /// The consumer, if it may be subscribed: it is registered and ACTIVE.
    pub(super) fn active_consumer(
        &self,
        fields: &ConsumerFields<'_>,
    ) -> Result<(Arc<Stream>, Consumer)> {
        let named = self.named_consumer(fields)?;
        let not_active = |named: &NamedConsumer, status: v1::ConsumerStatus| {
            let state = status.as_str_name().trim_start_matches("CONSUMER_");
            let (name, stream) = (&named.name, named.stream.name());
            let account = &self.owner.account;
            let message = format!(
                "Consumer {name} of stream {stream} under account {account} not ACTIVE, instead \
                 in state {state}"
            );
            OpError::new(Kind::ResourceInUse, message)
                .with("stream_name", stream.as_str())
                .with("consumer_name", name.as_str())
                .with("consumer_status", state)
        };
        if self.deregistered(&named.stream, &named.name).is_some() {
            return Err(not_active(&named, v1::ConsumerStatus::ConsumerDeleting));
        }
        let (stream, consumer) = named.clone().registered()?;
        match self.consumer_status(&stream, &consumer) {
            v1::ConsumerStatus::ConsumerActive => Ok((stream, consumer)),
            status => Err(not_active(&named, status)),
        }
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

/// The refusal of a text that is not a consumer's ARN.
pub(super) fn not_a_consumer(field: &'static str, text: &str) -> OpError {
    let why = "not an ARN such as arn:aws:kinesis:REGION:ACCOUNT:stream/NAME/consumer/NAME:1";
    OpError::invalid_text(field, text, why)
}

/// The refusal of a text that is neither a stream's ARN nor a consumer's.
pub(super) fn not_a_resource(text: &str) -> OpError {
    let why = "neither the ARN of a stream nor that of a consumer";
    OpError::invalid_text("resource_arn", text, why)
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
