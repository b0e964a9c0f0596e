//! The inputs of the operations.
//!
//! The facts are those of the public model (API version 2013-12-02). Members stand in the order in
//! which the service names those that are wrong, where that is known, with those that are newer
//! behind them; so do the values of an enumeration.

use super::pattern::Pattern;
use super::shape::{Member, Shape};
use crate::metrics::Operation;

/// Members that are there as long as the program.
macro_rules! members {
    ($($member:expr),* $(,)?) => {
        const { &[$($member),*] }
    };
}

const NAME: Shape = Shape::like(1, 128, Pattern::Name);
const STREAM_ARN: Shape = Shape::like(1, 2048, Pattern::StreamArn);
const CONSUMER_ARN: Shape = Shape::like(1, 2048, Pattern::ConsumerArn);
const RESOURCE_ARN: Shape = Shape::like(1, 2048, Pattern::ResourceArn);
const STREAM_ID: Shape = Shape::like(1, 24, Pattern::StreamId);
const SEQUENCE_NUMBER: Shape = Shape::looks(Pattern::SequenceNumber);
const HASH_KEY: Shape = Shape::looks(Pattern::HashKey);
const PARTITION_KEY: Shape = Shape::text(1, 256);
const SHARD_ITERATOR: Shape = Shape::text(1, 512);
const NEXT_TOKEN: Shape = Shape::text(1, 1_048_576);
const KEY_ID: Shape = Shape::text(1, 2048);
const POLICY: Shape = Shape::Text { min: None, max: None, pattern: None };
const TAG_KEY: Shape = Shape::text(1, 128);
const TAG_VALUE: Shape = Shape::text(0, 256);
const TAGS: Shape = Shape::Map { key: &TAG_KEY, value: &TAG_VALUE, min: 1, max: 200 };
const TAG_KEYS: Shape = Shape::List { of: &TAG_KEY, min: 1, max: 50 };
const DATA: Shape = Shape::Blob { max: 10_485_760 };
const LIMIT: Shape = Shape::integer(1, 10_000);
const TAG_LIMIT: Shape = Shape::integer(1, 50);
const POSITIVE: Shape = Shape::at_least(1);
const NATURAL: Shape = Shape::at_least(0);
const HOURS: Shape = Shape::Integer { min: None, max: None };
const RECORD_KIB: Shape = Shape::integer(1024, 10_240);
const ENCRYPTION_TYPE: Shape = Shape::Enum(&["NONE", "KMS"]);
const SCALING_TYPE: Shape = Shape::Enum(&["UNIFORM_SCALING"]);
const DISTRIBUTION: Shape = Shape::Enum(&["AUTO", "USER_PARTITION_KEY"]);
const STREAM_MODE: Shape = Shape::Enum(&["PROVISIONED", "ON_DEMAND"]);
const COMMITMENT_STATUS: Shape = Shape::Enum(&["ENABLED", "DISABLED"]);
const ITERATOR_TYPE: Shape = Shape::Enum(&[
    "AFTER_SEQUENCE_NUMBER",
    "LATEST",
    "AT_TIMESTAMP",
    "AT_SEQUENCE_NUMBER",
    "TRIM_HORIZON",
]);
const FILTER_TYPE: Shape = Shape::Enum(&[
    "AFTER_SHARD_ID",
    "AT_TRIM_HORIZON",
    "FROM_TRIM_HORIZON",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
]);
const METRIC: Shape = Shape::Enum(&[
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
    "ALL",
]);
const METRICS: Shape = Shape::List { of: &METRIC, min: 1, max: 7 };
const MODE_DETAILS: Shape = Shape::Structure(&[Member::required("StreamMode", &STREAM_MODE)]);
const COMMITMENT: Shape = Shape::Structure(&[Member::required("Status", &COMMITMENT_STATUS)]);
const STARTING_POSITION: Shape = Shape::Structure(&[
    Member::required("Type", &ITERATOR_TYPE),
    Member::optional("SequenceNumber", &SEQUENCE_NUMBER),
    Member::optional("Timestamp", &Shape::Timestamp),
]);
const SHARD_FILTER: Shape = Shape::Structure(&[
    Member::required("Type", &FILTER_TYPE),
    Member::optional("ShardId", &NAME),
    Member::optional("Timestamp", &Shape::Timestamp),
]);
const ENTRY: Shape = Shape::Structure(&[
    Member::optional("PartitionKey", &PARTITION_KEY),
    Member::optional("ExplicitHashKey", &HASH_KEY),
    Member::required("Data", &DATA),
]);
const ENTRIES: Shape = Shape::List { of: &ENTRY, min: 1, max: 500 };

const STREAM_NAME: Member = Member::optional("StreamName", &NAME);
const BY_ARN: Member = Member::optional("StreamARN", &STREAM_ARN);
const BY_ID: Member = Member::optional("StreamId", &STREAM_ID);
const RESOURCE: Member = Member::required("ResourceARN", &RESOURCE_ARN);
const DRY_RUN: Member = Member::optional("DryRun", &Shape::Boolean);
const TOKEN: Member = Member::optional("NextToken", &NEXT_TOKEN);

const RETENTION: &[Member] =
    &[Member::required("RetentionPeriodHours", &HOURS), STREAM_NAME, BY_ARN, BY_ID];
const MONITORING: &[Member] =
    &[Member::required("ShardLevelMetrics", &METRICS), STREAM_NAME, BY_ARN, BY_ID];
const ENCRYPTION: &[Member] = &[
    Member::required("EncryptionType", &ENCRYPTION_TYPE),
    Member::required("KeyId", &KEY_ID),
    STREAM_NAME,
    BY_ARN,
    BY_ID,
];
const CONSUMER: &[Member] = &[
    BY_ARN,
    Member::optional("ConsumerName", &NAME),
    Member::optional("ConsumerARN", &CONSUMER_ARN),
    BY_ID,
];

/// The members that an operation takes; none for an operation that the API does not have.
#[allow(clippy::too_many_lines, reason = "a table")]
pub fn input(operation: Operation) -> Option<&'static [Member]> {
    Some(match operation {
        Operation::AddTagsToStream => {
            members![Member::required("Tags", &TAGS), STREAM_NAME, BY_ARN, BY_ID]
        }
        Operation::CreateStream => members![
            Member::optional("ShardCount", &POSITIVE),
            Member::required("StreamName", &NAME),
            Member::optional("StreamModeDetails", &MODE_DETAILS),
            Member::optional("Tags", &TAGS),
            Member::optional("WarmThroughputMiBps", &NATURAL),
            Member::optional("MaxRecordSizeInKiB", &RECORD_KIB),
            Member::optional("RecordDistributionStrategy", &DISTRIBUTION),
        ],
        Operation::DecreaseStreamRetentionPeriod | Operation::IncreaseStreamRetentionPeriod => {
            RETENTION
        }
        Operation::DeleteResourcePolicy
        | Operation::GetResourcePolicy
        | Operation::ListTagsForResource => members![RESOURCE, BY_ID],
        Operation::DeleteStream => members![
            STREAM_NAME,
            Member::optional("EnforceConsumerDeletion", &Shape::Boolean),
            BY_ARN,
            BY_ID,
        ],
        Operation::DeregisterStreamConsumer | Operation::DescribeStreamConsumer => CONSUMER,
        Operation::DescribeAccountSettings | Operation::DescribeLimits => members![],
        Operation::DescribeStream => members![
            Member::optional("Limit", &LIMIT),
            Member::optional("ExclusiveStartShardId", &NAME),
            STREAM_NAME,
            BY_ARN,
            BY_ID,
        ],
        Operation::DescribeStreamSummary => members![STREAM_NAME, BY_ARN, BY_ID],
        Operation::DisableEnhancedMonitoring | Operation::EnableEnhancedMonitoring => MONITORING,
        Operation::GetRecords => members![
            Member::optional("Limit", &LIMIT),
            Member::required("ShardIterator", &SHARD_ITERATOR),
            BY_ARN,
            BY_ID,
            DRY_RUN,
        ],
        Operation::GetShardIterator => members![
            Member::required("ShardId", &NAME),
            Member::required("ShardIteratorType", &ITERATOR_TYPE),
            Member::optional("StartingSequenceNumber", &SEQUENCE_NUMBER),
            STREAM_NAME,
            Member::optional("Timestamp", &Shape::Timestamp),
            BY_ARN,
            BY_ID,
            DRY_RUN,
        ],
        Operation::ListShards => members![
            Member::optional("ExclusiveStartShardId", &NAME),
            Member::optional("MaxResults", &LIMIT),
            TOKEN,
            Member::optional("StreamCreationTimestamp", &Shape::Timestamp),
            STREAM_NAME,
            Member::optional("ShardFilter", &SHARD_FILTER),
            BY_ARN,
            BY_ID,
        ],
        Operation::ListStreamConsumers => members![
            Member::required("StreamARN", &STREAM_ARN),
            TOKEN,
            Member::optional("MaxResults", &LIMIT),
            Member::optional("StreamCreationTimestamp", &Shape::Timestamp),
            BY_ID,
        ],
        Operation::ListStreams => members![
            Member::optional("Limit", &LIMIT),
            Member::optional("ExclusiveStartStreamName", &NAME),
            TOKEN,
        ],
        Operation::ListTagsForStream => members![
            Member::optional("Limit", &TAG_LIMIT),
            Member::optional("ExclusiveStartTagKey", &TAG_KEY),
            STREAM_NAME,
            BY_ARN,
            BY_ID,
        ],
        Operation::MergeShards => members![
            Member::required("ShardToMerge", &NAME),
            Member::required("AdjacentShardToMerge", &NAME),
            STREAM_NAME,
            BY_ARN,
            BY_ID,
        ],
        Operation::PutRecord => members![
            Member::optional("SequenceNumberForOrdering", &SEQUENCE_NUMBER),
            Member::optional("PartitionKey", &PARTITION_KEY),
            Member::optional("ExplicitHashKey", &HASH_KEY),
            Member::required("Data", &DATA),
            STREAM_NAME,
            BY_ARN,
            BY_ID,
            DRY_RUN,
        ],
        Operation::PutRecords => {
            members![Member::required("Records", &ENTRIES), STREAM_NAME, BY_ARN, BY_ID, DRY_RUN]
        }
        Operation::PutResourcePolicy => {
            members![RESOURCE, BY_ID, Member::required("Policy", &POLICY)]
        }
        Operation::RegisterStreamConsumer => members![
            Member::required("StreamARN", &STREAM_ARN),
            Member::required("ConsumerName", &NAME),
            BY_ID,
            Member::optional("Tags", &TAGS),
        ],
        Operation::RemoveTagsFromStream => {
            members![Member::required("TagKeys", &TAG_KEYS), STREAM_NAME, BY_ARN, BY_ID]
        }
        Operation::SplitShard => members![
            Member::required("NewStartingHashKey", &HASH_KEY),
            STREAM_NAME,
            Member::required("ShardToSplit", &NAME),
            BY_ARN,
            BY_ID,
        ],
        Operation::StartStreamEncryption | Operation::StopStreamEncryption => ENCRYPTION,
        Operation::SubscribeToShard => members![
            Member::required("ConsumerARN", &CONSUMER_ARN),
            BY_ID,
            Member::required("ShardId", &NAME),
            Member::required("StartingPosition", &STARTING_POSITION),
            DRY_RUN,
        ],
        Operation::TagResource => members![Member::required("Tags", &TAGS), RESOURCE, BY_ID],
        Operation::UntagResource => {
            members![Member::required("TagKeys", &TAG_KEYS), RESOURCE, BY_ID]
        }
        Operation::UpdateAccountSettings => {
            members![Member::required("MinimumThroughputBillingCommitment", &COMMITMENT)]
        }
        Operation::UpdateMaxRecordSize => {
            members![BY_ARN, BY_ID, Member::required("MaxRecordSizeInKiB", &RECORD_KIB)]
        }
        Operation::UpdateShardCount => members![
            Member::required("TargetShardCount", &POSITIVE),
            Member::required("ScalingType", &SCALING_TYPE),
            STREAM_NAME,
            BY_ARN,
            BY_ID,
        ],
        Operation::UpdateStreamMode => members![
            Member::required("StreamARN", &STREAM_ARN),
            BY_ID,
            Member::required("StreamModeDetails", &MODE_DETAILS),
            Member::optional("WarmThroughputMiBps", &NATURAL),
        ],
        Operation::UpdateStreamRecordDistributionStrategy => members![
            Member::required("StreamARN", &STREAM_ARN),
            BY_ID,
            Member::required("RecordDistributionStrategy", &DISTRIBUTION),
        ],
        Operation::UpdateStreamWarmThroughput => {
            members![BY_ARN, STREAM_NAME, BY_ID, Member::required("WarmThroughputMiBps", &NATURAL)]
        }
        Operation::DescribeShardLoad | Operation::Produce | Operation::SetQuotas => return None,
    })
}
