//! SubscribeToShard.

use anabranch_engine::ReadLimit;
use anabranch_engine::limits::PAGE_RECORDS_MAX;
use anabranch_proto::v1::SubscribeToShardRequest;

use super::error::{OpError, Result};
use super::get_records::READ_BYTES_MAX;
use super::names::{self, ConsumerFields};
use super::start::{Start, StartFields};
use super::{Ops, describe};
use crate::push::{Source, Subscription};

/// Bytes of an event's records unless the request asks for others.
const EVENT_BYTES_DEFAULT: u32 = 1 << 20;

/// Frames of the log that an event draws on at most. It bounds what an event costs that nobody
/// takes, where every record was put alone: some 8 KiB, and one chunk.
const EVENT_RANGES_MAX: usize = 256;

const FIELDS: StartFields = StartFields {
    operation: "SubscribeToShard",
    iterator_type: "starting_position.type",
    sequence_number: "starting_position.sequence_number",
    kinesis_sequence_number: "starting_position.kinesis_sequence_number",
    timestamp_ms: "starting_position.timestamp_ms",
};

impl Ops {
    /// Starts a subscription; its events are taken from what is returned.
    pub(super) fn subscribe_to_shard(
        &self,
        request: SubscribeToShardRequest,
    ) -> Result<Subscription> {
        let bytes = request.max_bytes;
        let bytes = names::within("max_bytes", bytes, 1..=READ_BYTES_MAX, EVENT_BYTES_DEFAULT)?;
        let limit = ReadLimit { records: PAGE_RECORDS_MAX, bytes };
        let start = request
            .starting_position
            .ok_or_else(|| OpError::invalid("starting_position", "is missing"))?;
        let start = Start {
            iterator_type: start.r#type,
            sequence_number: start.sequence_number,
            kinesis_sequence_number: start.kinesis_sequence_number.as_deref(),
            timestamp_ms: start.timestamp_ms,
            fields: FIELDS,
        };
        let fields = ConsumerFields {
            consumer_arn: &request.consumer_arn,
            stream_arn: &request.stream_arn,
            stream_name: &request.stream_name,
            consumer_name: &request.consumer_name,
        };
        let (stream, consumer) = self.active_consumer(&fields)?;
        let shard = self.shard(&stream, &request.shard_id)?;
        let from = start.resolve(self, &stream, &shard)?;
        if request.dry_run {
            return Err(OpError::dry_run());
        }
        if self.shutdown.is_cancelled() {
            return Err(OpError::shutting_down());
        }
        let pacer = self.throughput.admit_subscription(&stream, &consumer.name, shard.id())?;
        let lease = self.subscriptions.subscribe(stream.id(), &consumer.name, shard.id())?;
        // Deregistering removes the consumer first and ends its subscriptions then; this one
        // may have come between.
        stream.consumer(&consumer.name)?;
        Ok(Subscription::new(Source {
            stream,
            origin: describe::origin(&shard),
            progress: shard.progress(),
            cursor: shard.cursor(from).with_ranges_max(EVENT_RANGES_MAX),
            reads: self.reads.clone(),
            limit,
            pacer,
            lease,
            shutdown: self.shutdown.clone(),
            metrics: self.metrics.clone(),
        }))
    }
}
