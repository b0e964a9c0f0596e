//! From the names, ids and numbers of a request to what they name.

use std::ops::RangeInclusive;
use std::sync::Arc;

use anabranch_engine::ids::{ConsumerName, ShardId, StreamName};
use anabranch_engine::{Consumer, Engine, Shard, Stream};

use super::error::{Kind, OpError, Result};
use crate::aws::arn;

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

/// The stream of that name.
pub(super) fn stream(engine: &Engine, name: &str) -> Result<Arc<Stream>> {
    Ok(engine.stream(&stream_name(name)?)?)
}

/// The shard of that id.
pub(super) fn shard(stream: &Stream, id: &str) -> Result<Arc<Shard>> {
    Ok(stream.shard(shard_id("shard_id", id)?)?)
}

/// The stream named by an ARN or by its name. Both may be given if they agree.
pub(super) fn stream_by_arn(engine: &Engine, stream_arn: &str, name: &str) -> Result<Arc<Stream>> {
    if stream_arn.is_empty() {
        return stream(engine, name);
    }
    let by_arn = arn::parse_stream(stream_arn)
        .map_err(|why| OpError::invalid_text("stream_arn", stream_arn, why))?;
    if !name.is_empty() && name != by_arn.as_str() {
        let why = format_args!("stream_arn names another stream, {by_arn}");
        return Err(OpError::invalid_text("stream_name", name, why));
    }
    Ok(engine.stream(&by_arn)?)
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

/// The consumer named by its ARN, or by its name and its stream.
pub(super) fn consumer(
    engine: &Engine,
    fields: &ConsumerFields<'_>,
) -> Result<(Arc<Stream>, Consumer)> {
    if fields.consumer_arn.is_empty() {
        let stream = stream_by_arn(engine, fields.stream_arn, fields.stream_name)?;
        let consumer = stream.consumer(&consumer_name(fields.consumer_name)?)?;
        return Ok((stream, consumer));
    }
    let others = [fields.stream_arn, fields.stream_name, fields.consumer_name];
    if others.iter().any(|field| !field.is_empty()) {
        let why = "stands in place of the names of stream and consumer";
        return Err(OpError::invalid("consumer_arn", why));
    }
    let text = fields.consumer_arn;
    let named = arn::parse_consumer(text).map_err(|_| {
        let why = "not an ARN such as arn:aws:kinesis:REGION:ACCOUNT:stream/NAME/consumer/NAME:1";
        OpError::invalid_text("consumer_arn", text, why)
    })?;
    let stream = engine.stream(&named.stream)?;
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
