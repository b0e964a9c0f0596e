//! DeregisterStreamConsumer.

use std::sync::Arc;

use anabranch_proto::v1::{DeregisterStreamConsumerRequest, DeregisterStreamConsumerResponse};

use super::names::ConsumerFields;
use super::{Operation, Ops, Result};

impl Ops {
    /// Removes a consumer, then ends its subscriptions: one that starts in between finds no
    /// consumer, and one that started before is ended.
    pub(super) async fn deregister_stream_consumer(
        &self,
        request: DeregisterStreamConsumerRequest,
    ) -> Result<DeregisterStreamConsumerResponse> {
        let fields = ConsumerFields {
            consumer_arn: &request.consumer_arn,
            stream_arn: &request.stream_arn,
            stream_name: &request.stream_name,
            consumer_name: &request.consumer_name,
        };
        let (stream, consumer) = self.consumer(&fields)?;
        self.admit(Operation::DeregisterStreamConsumer, Some(&stream))?;
        let (of, name) = (Arc::clone(&stream), consumer.name.clone());
        self.blocking(move |engine| engine.deregister_consumer(&of, &name)).await?;
        self.subscriptions.deregister(stream.id(), &consumer.name);
        self.show_deregistered(&stream, &consumer);
        Ok(DeregisterStreamConsumerResponse {})
    }
}
