//! DescribeStreamConsumer.

use anabranch_proto::v1::{DescribeStreamConsumerRequest, DescribeStreamConsumerResponse};

use super::names::ConsumerFields;
use super::{Operation, Ops, Result};

impl Ops {
    /// Describes a consumer.
    pub(super) fn describe_stream_consumer(
        &self,
        request: DescribeStreamConsumerRequest,
    ) -> Result<DescribeStreamConsumerResponse> {
        let fields = ConsumerFields {
            consumer_arn: &request.consumer_arn,
            stream_arn: &request.stream_arn,
            stream_name: &request.stream_name,
            consumer_name: &request.consumer_name,
        };
        let named = self.named_consumer(&fields)?;
        self.admit(Operation::DescribeStreamConsumer, Some(&named.stream))?;
        let deleting = self.deregistered(&named.stream, &named.name).filter(|consumer| {
            let created_seconds = consumer.consumer_creation_timestamp_ms / 1000;
            named.created_seconds.is_none_or(|seconds| seconds == created_seconds)
        });
        let described = match deleting {
            Some(deleting) => deleting,
            None => {
                let (stream, consumer) = named.registered()?;
                self.show_consumer(&stream, &consumer)
            }
        };
        Ok(DescribeStreamConsumerResponse { consumer_description: Some(described) })
    }
}
