//! Records one by one, and where reading begins. What carries many has files of its own.

use anabranch_engine::ids::ShardId;
use anabranch_engine::sequence::SequenceNumber;
use anabranch_proto::v1::{self, ShardIteratorType};

use super::{FromMembers, IntoMembers, choice, count, stream_arn, stream_name, text, time_ms};
use crate::aws::sequence::Origin;
use crate::kinesis::value::Members;

impl FromMembers for v1::PutRecordRequest {
    fn from_members(mut members: Members) -> Self {
        v1::PutRecordRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            data: members.blob("Data").unwrap_or_default(),
            partition_key: text(&mut members, "PartitionKey"),
            explicit_hash_key: members.take_text("ExplicitHashKey"),
            sequence_number_for_ordering: None,
            kinesis_sequence_number_for_ordering: members.take_text("SequenceNumberForOrdering"),
            dry_run: members.flag("DryRun").unwrap_or(false),
        }
    }
}

impl IntoMembers for v1::PutRecordResponse {
    fn into_members(self) -> Members {
        let shard: ShardId = self.shard_id.parse().expect("a reply names shards in full");
        let origin = Origin::new(shard, self.shard_creation_timestamp_ms.unwrap_or(0));
        let number = SequenceNumber(self.sequence_number);
        let number = origin.number(number, self.arrival_time_ms.unwrap_or(0));
        Members::new().with("ShardId", self.shard_id).with("SequenceNumber", number.to_string())
    }
}

impl FromMembers for v1::GetShardIteratorRequest {
    fn from_members(mut members: Members) -> Self {
        v1::GetShardIteratorRequest {
            stream_name: stream_name(&mut members),
            stream_arn: stream_arn(&mut members),
            shard_id: text(&mut members, "ShardId"),
            shard_iterator_type: iterator_type(&members, "ShardIteratorType"),
            starting_sequence_number: None,
            starting_kinesis_sequence_number: members.take_text("StartingSequenceNumber"),
            timestamp_ms: time_ms(&members, "Timestamp"),
            dry_run: members.flag("DryRun").unwrap_or(false),
        }
    }
}

impl IntoMembers for v1::GetShardIteratorResponse {
    fn into_members(self) -> Members {
        Members::new().with("ShardIterator", self.shard_iterator)
    }
}

/// The service gives pages of 10 MiB, whose clients have no limit of their own.
const PAGE_BYTES: u32 = 10 << 20;

impl FromMembers for v1::GetRecordsRequest {
    fn from_members(mut members: Members) -> Self {
        v1::GetRecordsRequest {
            shard_iterator: text(&mut members, "ShardIterator"),
            limit: count(&members, "Limit"),
            max_bytes: Some(PAGE_BYTES),
            wait_ms: None,
            stream_arn: stream_arn(&mut members),
            dry_run: members.flag("DryRun").unwrap_or(false),
        }
    }
}

impl FromMembers for v1::SubscribeToShardRequest {
    fn from_members(mut members: Members) -> Self {
        let position = members.take_map("StartingPosition");
        v1::SubscribeToShardRequest {
            consumer_arn: text(&mut members, "ConsumerARN"),
            stream_name: String::new(),
            consumer_name: String::new(),
            shard_id: text(&mut members, "ShardId"),
            starting_position: position.map(|mut position| v1::StartingPosition {
                r#type: iterator_type(&position, "Type"),
                sequence_number: None,
                kinesis_sequence_number: position.take_text("SequenceNumber"),
                timestamp_ms: time_ms(&position, "Timestamp"),
            }),
            max_bytes: None,
            stream_arn: String::new(),
            dry_run: members.flag("DryRun").unwrap_or(false),
        }
    }
}

fn iterator_type(members: &Members, name: &str) -> i32 {
    choice(members, name, ShardIteratorType::from_str_name)
}
