//! PutRecord.

use std::sync::Arc;

use anabranch_engine::settings::Distribution;
use anabranch_engine::{Shard, Stream};
use anabranch_proto::v1::{PutRecordRequest, PutRecordResponse};

use super::batch::Batch;
use super::error::shown_number;
use super::names::NamesStream;
use super::put::put;
use super::{Kind, OpError, Ops, Result, describe};
use crate::aws::sequence::{InvalidNumber, Parsed};

impl Ops {
    /// Puts one record.
    pub(super) async fn put_record(&self, request: PutRecordRequest) -> Result<PutRecordResponse> {
        let stream = self.stream(request.stream_fields())?;
        let explicit_hash_key = request.explicit_hash_key.as_deref();
        let batch = Batch::of_one(&request.partition_key, explicit_hash_key, &request.data)?;
        batch.check(&stream.settings())?;
        if let Some(number) = request.sequence_number_for_ordering {
            self.check_ordering(&stream, &batch, number)?;
        }
        if let Some(text) = &request.kinesis_sequence_number_for_ordering {
            self.check_kinesis_ordering(&stream, text)?;
        }
        if request.dry_run {
            return Err(OpError::dry_run());
        }
        let outcome = put(stream, &batch, &self.puts).await?;
        // A batch of one either was put, or failed for a reason of its own.
        if let Some(failure) = outcome.failures.first() {
            return Err((*failure.error).clone());
        }
        let run = outcome.run(0);
        Ok(PutRecordResponse {
            shard_id: run.shard.to_string(),
            sequence_number: outcome.numbers[0],
            arrival_time_ms: Some(run.arrival_ms),
            shard_creation_timestamp_ms: Some(run.shard_created_ms),
        })
    }

    /// The number that the record gets is above every durable one, so it is above `number` if
    /// that one is durable; a producer knows of no other.
    fn check_ordering(&self, stream: &Stream, batch: &Batch<'_>, number: u64) -> Result<()> {
        let is_reached = |shard: &Arc<Shard>| number < shard.watermarks().durable.0;
        let shards = stream.shards();
        let is_known = match stream.settings().distribution {
            Distribution::UserPartitionKey => {
                is_reached(&shards[shards.route(batch.records()[0].hash_key())])
            }
            // It may go to any shard, and so may the one before it have done.
            Distribution::Auto => shards.iter().any(is_reached),
        };
        if is_known {
            return Ok(());
        }
        Err(self.invalid_ordering(stream, "sequence_number_for_ordering", &number.to_string()))
    }

    /// The same for a number as Kinesis writes it. One of another shard, or of an older version, is
    /// not compared, as the real service does not: of a parent's number, that of any record is
    /// above it.
    fn check_kinesis_ordering(&self, stream: &Stream, text: &str) -> Result<()> {
        let (is_reached, arrival_s) = match text.parse() {
            Ok(Parsed::Current(number)) => {
                let shards = stream.shards();
                let own = shards.get(number.origin.shard);
                let own = own.filter(|shard| describe::origin(shard) == number.origin);
                let is_reached = own.is_none_or(|own| number.number < own.watermarks().durable);
                (is_reached, Some(number.arrival_s))
            }
            Ok(Parsed::Older(older)) => (true, older.arrival_s),
            Err(InvalidNumber) => (false, None),
        };
        let now_s = self.engine.now_ms() / 1000;
        if is_reached && arrival_s.is_none_or(|arrival_s| arrival_s <= now_s) {
            return Ok(());
        }
        Err(self.invalid_ordering(stream, "kinesis_sequence_number_for_ordering", text))
    }

    fn invalid_ordering(&self, stream: &Stream, field: &'static str, number: &str) -> OpError {
        let number = shown_number(number);
        let (name, account) = (stream.name(), &self.owner.account);
        let message = format!(
            "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under \
             account {account} is invalid."
        );
        OpError::in_its_words(Kind::InvalidArgument, field, message).with("value", number)
    }
}
