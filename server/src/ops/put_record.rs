//! PutRecord.

use std::sync::Arc;

use anabranch_engine::settings::Distribution;
use anabranch_engine::{Shard, Stream};
use anabranch_proto::v1::{PutRecordRequest, PutRecordResponse};

use super::batch::Batch;
use super::names::NamesStream;
use super::put::put;
use super::{Kind, OpError, Ops, Result};

impl Ops {
    /// Puts one record.
    pub async fn put_record(&self, request: PutRecordRequest) -> Result<PutRecordResponse> {
        let stream = self.stream(request.stream_fields())?;
        let explicit_hash_key = request.explicit_hash_key.as_deref();
        let batch = Batch::of_one(&request.partition_key, explicit_hash_key, &request.data)?;
        batch.check(&stream.settings())?;
        if let Some(number) = request.sequence_number_for_ordering {
            self.check_ordering(&stream, &batch, number)?;
        }
        if request.dry_run {
            return Err(OpError::dry_run());
        }
        let outcome = put(stream, &batch, &self.puts).await?;
        // A batch of one either was put, or failed for a reason of its own.
        if let Some(failure) = outcome.failures.first() {
            return Err((*failure.error).clone());
        }
        Ok(PutRecordResponse {
            shard_id: outcome.shards[0].to_string(),
            sequence_number: outcome.numbers[0],
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
        let message = format!(
            "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {} under \
             account {} is invalid.",
            stream.name(),
            self.owner.account
        );
        let field = "sequence_number_for_ordering";
        let error = OpError::in_its_words(Kind::InvalidArgument, field, message);
        Err(error.with("value", number.to_string()))
    }
}
