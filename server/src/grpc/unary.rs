//! Calls of one message in and one out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::reply::{self, Frames};
use super::request::MessageReader;
use super::status::status;
use crate::metrics::Operation;
use crate::ops::batch::{Batch, Draft};
use crate::ops::put_records::PutHead;
use crate::ops::{Kind, OpError, Ops, Result};
use crate::wire::read::{Field, Fields};
use crate::wire::write;

/// Serves a call, for as long as the caller waits.
pub(super) async fn call(
    ops: Arc<Ops>,
    operation: Operation,
    body: Body,
    timeout: Option<Duration>,
) -> Response<Body> {
    let call = ops.metrics().call(operation);
    let served = serve(&ops, operation, MessageReader::new(body, ops.request_share()));
    let served = match timeout {
        None => Ok(served.await),
        Some(timeout) => tokio::time::timeout(timeout, served).await,
    };
    match served {
        Ok(Ok(frames)) => {
            call.ended();
            reply::unary(frames)
        }
        Ok(Err(error)) => {
            call.refused(&error);
            reply::refused(status(&error))
        }
        Err(_) => {
            call.timed_out();
            reply::refused(Status::deadline_exceeded("the call's deadline passed"))
        }
    }
}

async fn serve(ops: &Ops, operation: Operation, reader: MessageReader) -> Result<Frames> {
    let (message, _held) = reader.only().await?;
    match operation {
        Operation::PutRecords => {
            let mut batch = Batch::default();
            let (head, draft) = put(&message, &mut batch)?;
            draft.finish()?;
            let outcome = ops.put_records(head, &batch).await?;
            Ok(Frames::message(|out| {
                write::put_records_response(&outcome, out);
            }))
        }
        Operation::GetRecords => {
            let mut records = ops.get_records(decode(message)?).await?;
            let ranges = std::mem::take(&mut records.page.ranges);
            Ok(Frames::page(ranges, |out| write::get_records_head(&records, out)))
        }
        Operation::PutRecord => encode(ops.put_record(decode(message)?).await),
        Operation::GetShardIterator => encode(ops.get_shard_iterator(decode(message)?)),
        Operation::CreateStream => encode(ops.create_stream(decode(message)?).await),
        Operation::DeleteStream => encode(ops.delete_stream(decode(message)?).await),
        Operation::DescribeStream => encode(ops.describe_stream(decode(message)?)),
        Operation::DescribeStreamSummary => encode(ops.describe_stream_summary(decode(message)?)),
        Operation::ListStreams => encode(ops.list_streams(decode(message)?)),
        Operation::ListShards => encode(ops.list_shards(decode(message)?)),
        Operation::IncreaseStreamRetentionPeriod => {
            encode(ops.increase_stream_retention_period(decode(message)?).await)
        }
        Operation::DecreaseStreamRetentionPeriod => {
            encode(ops.decrease_stream_retention_period(decode(message)?).await)
        }
        Operation::RegisterStreamConsumer => {
            encode(ops.register_stream_consumer(decode(message)?).await)
        }
        Operation::DescribeStreamConsumer => encode(ops.describe_stream_consumer(decode(message)?)),
        Operation::ListStreamConsumers => encode(ops.list_stream_consumers(decode(message)?)),
        Operation::DeregisterStreamConsumer => {
            encode(ops.deregister_stream_consumer(decode(message)?).await)
        }
        Operation::SplitShard => encode(ops.split_shard(decode(message)?).await),
        Operation::MergeShards => encode(ops.merge_shards(decode(message)?).await),
        Operation::UpdateShardCount => encode(ops.update_shard_count(decode(message)?).await),
        Operation::AddTagsToStream => encode(ops.add_tags_to_stream(decode(message)?).await),
        Operation::DeleteResourcePolicy => {
            encode(ops.delete_resource_policy(decode(message)?).await)
        }
        Operation::DescribeAccountSettings => {
            encode(ops.describe_account_settings(decode(message)?))
        }
        Operation::DescribeLimits => encode(ops.describe_limits(decode(message)?)),
        Operation::DisableEnhancedMonitoring => {
            encode(ops.disable_enhanced_monitoring(decode(message)?).await)
        }
        Operation::EnableEnhancedMonitoring => {
            encode(ops.enable_enhanced_monitoring(decode(message)?).await)
        }
        Operation::GetResourcePolicy => encode(ops.get_resource_policy(decode(message)?)),
        Operation::ListTagsForResource => encode(ops.list_tags_for_resource(decode(message)?)),
        Operation::ListTagsForStream => encode(ops.list_tags_for_stream(decode(message)?)),
        Operation::PutResourcePolicy => encode(ops.put_resource_policy(decode(message)?).await),
        Operation::RemoveTagsFromStream => {
            encode(ops.remove_tags_from_stream(decode(message)?).await)
        }
        Operation::DescribeShardLoad => encode(ops.describe_shard_load(decode(message)?)),
        Operation::SetQuotas => encode(ops.set_quotas(decode(message)?).await),
        Operation::StartStreamEncryption => encode(ops.start_stream_encryption(decode(message)?)),
        Operation::StopStreamEncryption => encode(ops.stop_stream_encryption(decode(message)?)),
        Operation::TagResource => encode(ops.tag_resource(decode(message)?).await),
        Operation::UntagResource => encode(ops.untag_resource(decode(message)?).await),
        Operation::UpdateAccountSettings => {
            encode(ops.update_account_settings(decode(message)?).await)
        }
        Operation::UpdateMaxRecordSize => {
            encode(ops.update_max_record_size(decode(message)?).await)
        }
        Operation::UpdateStreamMode => encode(ops.update_stream_mode(decode(message)?).await),
        Operation::UpdateStreamRecordDistributionStrategy => {
            encode(ops.update_stream_record_distribution_strategy(decode(message)?).await)
        }
        Operation::UpdateStreamWarmThroughput => {
            encode(ops.update_stream_warm_throughput(decode(message)?).await)
        }
        Operation::Produce | Operation::SubscribeToShard => {
            unreachable!("the routes lead streams elsewhere")
        }
    }
}

/// A message of a generated type.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M> {
    M::decode(message).map_err(|why| malformed(&why))
}

fn encode<M: Message>(reply: Result<M>) -> Result<Frames> {
    let reply = reply?;
    Ok(Frames::message(|out| {
        out.reserve(reply.encoded_len());
        reply.encode(out).expect("a BytesMut grows as far as it must");
    }))
}

/// The stream and the records of a `PutRecordsRequest` or a `ProduceRequest`, as a put that is
/// begun in `batch`.
pub(super) fn put<'b, 'a>(
    message: &'a [u8],
    batch: &'b mut Batch<'a>,
) -> Result<(PutHead<'a>, Draft<'b, 'a>)> {
    let mut head = PutHead::default();
    let mut draft = batch.begin();
    for field in Fields::new(message) {
        match field.map_err(|why| malformed(&why))? {
            Field::StreamName(name) => head.stream.name = name,
            Field::StreamArn(arn) => head.stream.arn = arn,
            Field::DryRun(is_set) => head.dry_run = is_set,
            Field::Entry(entry) => {
                draft.push(entry.partition_key, entry.explicit_hash_key, entry.data)?;
            }
        }
    }
    Ok((head, draft))
}

fn malformed(why: &dyn std::fmt::Display) -> OpError {
    OpError::new(Kind::InvalidArgument, format!("malformed request: {why}"))
}
