//! GetShardIterator.

use anabranch_proto::v1::{GetShardIteratorRequest, GetShardIteratorResponse};

use super::iterator::ShardIterator;
use super::names::NamesStream;
use super::start::{Start, StartFields};
use super::{OpError, Operation, Ops, Result};

const FIELDS: StartFields = StartFields {
    operation: "GetShardIterator",
    iterator_type: "shard_iterator_type",
    sequence_number: "starting_sequence_number",
    kinesis_sequence_number: "starting_kinesis_sequence_number",
    timestamp_ms: "timestamp_ms",
};

impl Ops {
    /// Gives a position in a shard as a token.
    pub(super) fn get_shard_iterator(
        &self,
        request: GetShardIteratorRequest,
    ) -> Result<GetShardIteratorResponse> {
        let stream = self.stream(request.stream_fields())?;
        let shard = self.shard(&stream, &request.shard_id)?;
        let start = Start {
            iterator_type: request.shard_iterator_type,
            sequence_number: request.starting_sequence_number,
            kinesis_sequence_number: request.starting_kinesis_sequence_number.as_deref(),
            timestamp_ms: request.timestamp_ms,
            fields: FIELDS,
        };
        let position = start.resolve(self, &stream, &shard)?;
        if request.dry_run {
            return Err(OpError::dry_run());
        }
        self.admit_on_shard(Operation::GetShardIterator, &stream, shard.id())?;
        let iterator = ShardIterator::at(&self.engine, &stream, shard.id(), position);
        Ok(GetShardIteratorResponse {
            shard_iterator: iterator.seal(&self.seal),
            sequence_number: Some(position.0),
        })
    }
}
