//! Consumers of enhanced fan-out.

use anabranch_proto::v1::{self, ConsumerStatus};

use super::streams::time;
use super::{FromMembers, IntoMembers, count, empty, stream_arn, text, time_ms};
use crate::kinesis::value::Members;

impl FromMembers for v1::RegisterStreamConsumerRequest {
    fn from_members(mut members: Members) -> Self {
        v1::RegisterStreamConsumerRequest {
            stream_arn: stream_arn(&mut members),
            stream_name: String::new(),
            consumer_name: text(&mut members, "ConsumerName"),
            tags: super::tags::tags(&mut members),
        }
    }
}

impl IntoMembers for v1::RegisterStreamConsumerResponse {
    fn into_members(self) -> Members {
        Members::new().with("Consumer", consumer(self.consumer.unwrap_or_default()))
    }
}

/// Requests that name one consumer.
macro_rules! one_consumer {
    ($($request:ident,)*) => {
        $(impl FromMembers for v1::$request {
            fn from_members(mut members: Members) -> Self {
                v1::$request {
                    stream_arn: stream_arn(&mut members),
                    stream_name: String::new(),
                    consumer_name: text(&mut members, "ConsumerName"),
                    consumer_arn: text(&mut members, "ConsumerARN"),
                }
            }
        })*
    };
}

one_consumer! {
    DeregisterStreamConsumerRequest,
    DescribeStreamConsumerRequest,
}

impl IntoMembers for v1::DescribeStreamConsumerResponse {
    fn into_members(self) -> Members {
        let described = self.consumer_description.unwrap_or_default();
        let stream_arn = described.stream_arn.clone();
        let description = consumer(described).with("StreamARN", stream_arn);
        Members::new().with("ConsumerDescription", description)
    }
}

impl FromMembers for v1::ListStreamConsumersRequest {
    fn from_members(mut members: Members) -> Self {
        v1::ListStreamConsumersRequest {
            stream_arn: stream_arn(&mut members),
            stream_name: String::new(),
            max_results: count(&members, "MaxResults"),
            stream_creation_timestamp_ms: time_ms(&members, "StreamCreationTimestamp"),
            next_token: members.take_text("NextToken"),
        }
    }
}

impl IntoMembers for v1::ListStreamConsumersResponse {
    fn into_members(self) -> Members {
        let consumers: Vec<_> = self.consumers.into_iter().map(consumer).collect();
        Members::new().with("Consumers", consumers).with_some("NextToken", self.next_token)
    }
}

empty! {
    DeregisterStreamConsumerResponse,
}

fn consumer(consumer: v1::Consumer) -> Members {
    let status = ConsumerStatus::try_from(consumer.consumer_status).unwrap_or_default();
    let status = status.as_str_name().trim_start_matches("CONSUMER_");
    Members::new()
        .with("ConsumerName", consumer.consumer_name)
        .with("ConsumerARN", consumer.consumer_arn)
        .with("ConsumerStatus", status)
        .with("ConsumerCreationTimestamp", time(consumer.consumer_creation_timestamp_ms))
}
