//! The one way into an operation: [`Ops::call`] asks whether the caller may, then carries it out.
//!
//! What carries it out wants an [`Allowed`], which only that question gives, so that no door can go
//! around it. Puts of many records are borrowed from their requests and have ways of their own,
//! which ask the same: [`Ops::put_records`] and [`Ops::produce_to`].

use std::future::Future;

#[allow(clippy::wildcard_imports)] // every request of the API, and every reply
use anabranch_proto::v1::*;

use super::authorize::Allowed;
use super::caller::Caller;
use super::get_records::RecordsPage;
use super::names::{ConsumerFields, NamesStream};
use super::{Ops, Result, StreamFields};
use crate::metrics::Operation;
use crate::push::Subscription;

/// What a request concerns, as its fields name it.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The server as a whole.
    Account,
    /// A stream that is to be made.
    NewStream(&'a str),
    /// A stream.
    Stream(StreamFields<'a>),
    /// The stream whose shards a list goes on to with a token.
    Page(&'a str),
    /// The stream whose consumers a list goes on to with a token.
    ConsumerPage(&'a str),
    /// The stream that a shard iterator leads to.
    Iterator(&'a str),
    /// A consumer.
    Consumer(ConsumerFields<'a>),
    /// A stream or a consumer, by its ARN.
    Resource(&'a str),
}

/// A request for an operation.
pub trait Call: Sized + Send {
    /// What it gives back.
    type Reply: Send;

    /// Which operation it is.
    const OPERATION: Operation;

    /// What it concerns.
    fn target(&self) -> Target<'_>;

    /// Carries it out.
    fn run(self, ops: &Ops, allowed: Allowed) -> impl Future<Output = Result<Self::Reply>> + Send;
}

impl Ops {
    /// Carries out a request, if the caller may make it.
    pub async fn call<R: Call>(&self, caller: &Caller, request: R) -> Result<R::Reply> {
        let allowed = self.authorize(caller, R::OPERATION, request.target())?;
        request.run(self, allowed).await
    }
}

/// Declares the requests: the operation of each, what it concerns, and the method behind it.
macro_rules! calls {
    ($($operation:ident, $request:ident -> $reply:ident: $target:ident, $($run:ident)+;)*) => {
        $(impl Call for $request {
            type Reply = $reply;

            const OPERATION: Operation = Operation::$operation;

            fn target(&self) -> Target<'_> {
                calls!(@target self $target)
            }

            async fn run(self, ops: &Ops, _: Allowed) -> Result<$reply> {
                calls!(@run ops self $($run)+)
            }
        })*
    };
    (@run $ops:ident $request:ident async $method:ident) => { $ops.$method($request).await };
    (@run $ops:ident $request:ident $method:ident) => { $ops.$method($request) };
    (@target $request:ident account) => { { let _ = $request; Target::Account } };
    (@target $request:ident new_stream) => { Target::NewStream(&$request.stream_name) };
    (@target $request:ident stream) => { Target::Stream($request.stream_fields()) };
    (@target $request:ident iterator) => { Target::Iterator(&$request.shard_iterator) };
    (@target $request:ident consumer) => { Target::Consumer(ConsumerFields {
        consumer_arn: &$request.consumer_arn,
        stream_arn: &$request.stream_arn,
        stream_name: &$request.stream_name,
        consumer_name: &$request.consumer_name,
    }) };
    (@target $request:ident stream_or_page) => { match &$request.next_token {
        Some(token) => Target::Page(token),
        None => Target::Stream($request.stream_fields()),
    } };
    (@target $request:ident stream_or_consumer_page) => { match &$request.next_token {
        // Both may be given, and then agree.
        Some(token) if $request.stream_fields().is_empty() => Target::ConsumerPage(token),
        _ => Target::Stream($request.stream_fields()),
    } };
    (@target $request:ident resource) => { Target::Resource(&$request.resource_arn) };
}

calls! {
    AddTagsToStream, AddTagsToStreamRequest -> AddTagsToStreamResponse: stream, async add_tags_to_stream;
    CreateStream, CreateStreamRequest -> CreateStreamResponse: new_stream, async create_stream;
    DecreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriodRequest -> DecreaseStreamRetentionPeriodResponse: stream, async decrease_stream_retention_period;
    DeleteResourcePolicy, DeleteResourcePolicyRequest -> DeleteResourcePolicyResponse: resource, async delete_resource_policy;
    DeleteStream, DeleteStreamRequest -> DeleteStreamResponse: stream, async delete_stream;
    DeregisterStreamConsumer, DeregisterStreamConsumerRequest -> DeregisterStreamConsumerResponse: consumer, async deregister_stream_consumer;
    DescribeAccountSettings, DescribeAccountSettingsRequest -> DescribeAccountSettingsResponse: account, describe_account_settings;
    DescribeLimits, DescribeLimitsRequest -> DescribeLimitsResponse: account, describe_limits;
    DescribeShardLoad, DescribeShardLoadRequest -> DescribeShardLoadResponse: stream, describe_shard_load;
    DescribeStream, DescribeStreamRequest -> DescribeStreamResponse: stream, describe_stream;
    DescribeStreamConsumer, DescribeStreamConsumerRequest -> DescribeStreamConsumerResponse: consumer, describe_stream_consumer;
    DescribeStreamSummary, DescribeStreamSummaryRequest -> DescribeStreamSummaryResponse: stream, describe_stream_summary;
    DisableEnhancedMonitoring, DisableEnhancedMonitoringRequest -> DisableEnhancedMonitoringResponse: stream, async disable_enhanced_monitoring;
    EnableEnhancedMonitoring, EnableEnhancedMonitoringRequest -> EnableEnhancedMonitoringResponse: stream, async enable_enhanced_monitoring;
    GetRecords, GetRecordsRequest -> RecordsPage: iterator, async get_records;
    GetResourcePolicy, GetResourcePolicyRequest -> GetResourcePolicyResponse: resource, get_resource_policy;
    GetShardIterator, GetShardIteratorRequest -> GetShardIteratorResponse: stream, get_shard_iterator;
    IncreaseStreamRetentionPeriod, IncreaseStreamRetentionPeriodRequest -> IncreaseStreamRetentionPeriodResponse: stream, async increase_stream_retention_period;
    ListShards, ListShardsRequest -> ListShardsResponse: stream_or_page, list_shards;
    ListStreamConsumers, ListStreamConsumersRequest -> ListStreamConsumersResponse: stream_or_consumer_page, list_stream_consumers;
    ListStreams, ListStreamsRequest -> ListStreamsResponse: account, list_streams;
    ListTagsForResource, ListTagsForResourceRequest -> ListTagsForResourceResponse: resource, list_tags_for_resource;
    ListTagsForStream, ListTagsForStreamRequest -> ListTagsForStreamResponse: stream, list_tags_for_stream;
    MergeShards, MergeShardsRequest -> MergeShardsResponse: stream, async merge_shards;
    PutRecord, PutRecordRequest -> PutRecordResponse: stream, async put_record;
    PutResourcePolicy, PutResourcePolicyRequest -> PutResourcePolicyResponse: resource, async put_resource_policy;
    RegisterStreamConsumer, RegisterStreamConsumerRequest -> RegisterStreamConsumerResponse: stream, async register_stream_consumer;
    RemoveTagsFromStream, RemoveTagsFromStreamRequest -> RemoveTagsFromStreamResponse: stream, async remove_tags_from_stream;
    SetQuotas, SetQuotasRequest -> SetQuotasResponse: stream, async set_quotas;
    SplitShard, SplitShardRequest -> SplitShardResponse: stream, async split_shard;
    StartStreamEncryption, StartStreamEncryptionRequest -> StartStreamEncryptionResponse: stream, start_stream_encryption;
    StopStreamEncryption, StopStreamEncryptionRequest -> StopStreamEncryptionResponse: stream, stop_stream_encryption;
    SubscribeToShard, SubscribeToShardRequest -> Subscription: consumer, subscribe_to_shard;
    TagResource, TagResourceRequest -> TagResourceResponse: resource, async tag_resource;
    UntagResource, UntagResourceRequest -> UntagResourceResponse: resource, async untag_resource;
    UpdateAccountSettings, UpdateAccountSettingsRequest -> UpdateAccountSettingsResponse: account, async update_account_settings;
    UpdateMaxRecordSize, UpdateMaxRecordSizeRequest -> UpdateMaxRecordSizeResponse: stream, async update_max_record_size;
    UpdateShardCount, UpdateShardCountRequest -> UpdateShardCountResponse: stream, async update_shard_count;
    UpdateStreamMode, UpdateStreamModeRequest -> UpdateStreamModeResponse: stream, async update_stream_mode;
    UpdateStreamRecordDistributionStrategy, UpdateStreamRecordDistributionStrategyRequest -> UpdateStreamRecordDistributionStrategyResponse: stream, async update_stream_record_distribution_strategy;
    UpdateStreamWarmThroughput, UpdateStreamWarmThroughputRequest -> UpdateStreamWarmThroughputResponse: stream, async update_stream_warm_throughput;
}
