//! DescribeStreamConsumer.

use anabranch_proto::v1::{DescribeStreamConsumerRequest, DescribeStreamConsumerResponse};

use super::names::ConsumerFields;
use super::{Operation, Ops, Result};

impl Ops {
    /// Describes a consumer.
    pub fn describe_stream_consumer(
        &self,
        request: DescribeStreamConsumerRequest,
    ) -> Result<DescribeStreamConsumerResponse> {
        let fields = ConsumerFields {
            consumer_arn: &request.consumer_arn,
            stream_arn: &request.stream_arn,
            stream_name: &request.stream_name,
            consumer_name: &request.consumer_name,
        };
        let (stream, consumer) = self.consumer(&fields)?;
        self.admit(Operation::DescribeStreamConsumer, Some(&stream))?;
        Ok(DescribeStreamConsumerResponse {
            consumer_description: Some(self.show_consumer(&stream, &consumer)),
        })
    }
}
