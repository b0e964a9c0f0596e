//! Calls of one message in and one out.

use std::sync::Arc;
use std::time::Duration;

use anabranch_proto::v1;
use bytes::Bytes;
use http::Response;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::reply::{self, Frames};
use super::request::MessageReader;
use super::status::status;
use crate::metrics::Operation;
use crate::net::PacedBody;
use crate::ops::batch::{Batch, Draft};
use crate::ops::put_records::PutHead;
use crate::ops::{Call, Caller, Kind, OpError, Ops, Result};
use crate::wire::read::{Field, Fields};
use crate::wire::write;

/// Serves a call, for as long as the caller waits.
pub(super) async fn call(
    ops: Arc<Ops>,
    caller: &Caller,
    operation: Operation,
    body: Body,
    timeout: Option<Duration>,
) -> Response<Body> {
    let call = ops.metrics().call(operation);
    let body = Body::new(PacedBody::new(body));
    let served = serve(&ops, caller, operation, MessageReader::new(body, ops.request_share()));
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
            call.refused(error.kind);
            reply::refused(status(&error))
        }
        Err(_) => {
            call.timed_out();
            reply::refused(Status::deadline_exceeded("the call's deadline passed"))
        }
    }
}

async fn serve(
    ops: &Ops,
    caller: &Caller,
    operation: Operation,
    reader: MessageReader,
) -> Result<Frames> {
    let (message, _held) = reader.only().await?;
    match operation {
        Operation::PutRecords => {
            let mut batch = Batch::default();
            let (head, draft) = put(&message, &mut batch)?;
            draft.finish()?;
            let outcome = ops.put_records(caller, head, &batch).await?;
            Ok(Frames::message(|out| {
                write::put_records_response(&outcome, out);
            }))
        }
        Operation::GetRecords => {
            let request: v1::GetRecordsRequest = decode(message)?;
            let mut records = ops.call(caller, request).await?;
            let ranges = std::mem::take(&mut records.page.ranges);
            Ok(Frames::page(ranges, |out| write::get_records_head(&records, out)))
        }
        Operation::AddTagsToStream => run::<v1::AddTagsToStreamRequest>(ops, caller, message).await,
        Operation::CreateStream => run::<v1::CreateStreamRequest>(ops, caller, message).await,
        Operation::DecreaseStreamRetentionPeriod => {
            run::<v1::DecreaseStreamRetentionPeriodRequest>(ops, caller, message).await
        }
        Operation::DeleteResourcePolicy => {
            run::<v1::DeleteResourcePolicyRequest>(ops, caller, message).await
        }
        Operation::DeleteStream => run::<v1::DeleteStreamRequest>(ops, caller, message).await,
        Operation::DeregisterStreamConsumer => {
            run::<v1::DeregisterStreamConsumerRequest>(ops, caller, message).await
        }
        Operation::DescribeAccountSettings => {
            run::<v1::DescribeAccountSettingsRequest>(ops, caller, message).await
        }
        Operation::DescribeLimits => run::<v1::DescribeLimitsRequest>(ops, caller, message).await,
        Operation::DescribeShardLoad => {
            run::<v1::DescribeShardLoadRequest>(ops, caller, message).await
        }
        Operation::DescribeStream => run::<v1::DescribeStreamRequest>(ops, caller, message).await,
        Operation::DescribeStreamConsumer => {
            run::<v1::DescribeStreamConsumerRequest>(ops, caller, message).await
        }
        Operation::DescribeStreamSummary => {
            run::<v1::DescribeStreamSummaryRequest>(ops, caller, message).await
        }
        Operation::DisableEnhancedMonitoring => {
            run::<v1::DisableEnhancedMonitoringRequest>(ops, caller, message).await
        }
        Operation::EnableEnhancedMonitoring => {
            run::<v1::EnableEnhancedMonitoringRequest>(ops, caller, message).await
        }
        Operation::GetResourcePolicy => {
            run::<v1::GetResourcePolicyRequest>(ops, caller, message).await
        }
        Operation::GetShardIterator => {
            run::<v1::GetShardIteratorRequest>(ops, caller, message).await
        }
        Operation::IncreaseStreamRetentionPeriod => {
            run::<v1::IncreaseStreamRetentionPeriodRequest>(ops, caller, message).await
        }
        Operation::ListShards => run::<v1::ListShardsRequest>(ops, caller, message).await,
        Operation::ListStreamConsumers => {
            run::<v1::ListStreamConsumersRequest>(ops, caller, message).await
        }
        Operation::ListStreams => run::<v1::ListStreamsRequest>(ops, caller, message).await,
        Operation::ListTagsForResource => {
            run::<v1::ListTagsForResourceRequest>(ops, caller, message).await
        }
        Operation::ListTagsForStream => {
            run::<v1::ListTagsForStreamRequest>(ops, caller, message).await
        }
        Operation::MergeShards => run::<v1::MergeShardsRequest>(ops, caller, message).await,
        Operation::PutRecord => run::<v1::PutRecordRequest>(ops, caller, message).await,
        Operation::PutResourcePolicy => {
            run::<v1::PutResourcePolicyRequest>(ops, caller, message).await
        }
        Operation::RegisterStreamConsumer => {
            run::<v1::RegisterStreamConsumerRequest>(ops, caller, message).await
        }
        Operation::RemoveTagsFromStream => {
            run::<v1::RemoveTagsFromStreamRequest>(ops, caller, message).await
        }
        Operation::SetQuotas => run::<v1::SetQuotasRequest>(ops, caller, message).await,
        Operation::SplitShard => run::<v1::SplitShardRequest>(ops, caller, message).await,
        Operation::StartStreamEncryption => {
            run::<v1::StartStreamEncryptionRequest>(ops, caller, message).await
        }
        Operation::StopStreamEncryption => {
            run::<v1::StopStreamEncryptionRequest>(ops, caller, message).await
        }
        Operation::TagResource => run::<v1::TagResourceRequest>(ops, caller, message).await,
        Operation::UntagResource => run::<v1::UntagResourceRequest>(ops, caller, message).await,
        Operation::UpdateAccountSettings => {
            run::<v1::UpdateAccountSettingsRequest>(ops, caller, message).await
        }
        Operation::UpdateMaxRecordSize => {
            run::<v1::UpdateMaxRecordSizeRequest>(ops, caller, message).await
        }
        Operation::UpdateShardCount => {
            run::<v1::UpdateShardCountRequest>(ops, caller, message).await
        }
        Operation::UpdateStreamMode => {
            run::<v1::UpdateStreamModeRequest>(ops, caller, message).await
        }
        Operation::UpdateStreamRecordDistributionStrategy => {
            run::<v1::UpdateStreamRecordDistributionStrategyRequest>(ops, caller, message).await
        }
        Operation::UpdateStreamWarmThroughput => {
            run::<v1::UpdateStreamWarmThroughputRequest>(ops, caller, message).await
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

async fn run<R>(ops: &Ops, caller: &Caller, message: Bytes) -> Result<Frames>
where
    R: Call<Reply: Message> + Message + Default,
{
    let reply = ops.call(caller, decode::<R>(message)?).await?;
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
