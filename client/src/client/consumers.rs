//! Registered consumers, to which a server pushes.

use anabranch_proto::v1;
use tonic::Streaming;

use super::Client;
use crate::consumer::Position;
use crate::error::Result;

impl Client {
    /// Registers a consumer for push. It is ready when the call returns.
    pub async fn register_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<v1::Consumer> {
        let request = v1::RegisterStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::RegisterStreamConsumerRequest::default()
        };
        let reply = self.reply(self.stub().register_stream_consumer(request).await)?;
        Ok(reply.consumer.unwrap_or_default())
    }

    /// Describes a consumer.
    pub async fn describe_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<v1::Consumer> {
        let request = v1::DescribeStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::DescribeStreamConsumerRequest::default()
        };
        let reply = self
            .reading(|mut stub| {
                let request = request.clone();
                async move { stub.describe_stream_consumer(request).await }
            })
            .await?;
        Ok(reply.consumer_description.unwrap_or_default())
    }

    /// All consumers of a stream, by name.
    pub async fn list_stream_consumers(&self, stream_name: &str) -> Result<Vec<v1::Consumer>> {
        let mut consumers = Vec::new();
        let mut request = v1::ListStreamConsumersRequest {
            stream_name: stream_name.to_owned(),
            ..v1::ListStreamConsumersRequest::default()
        };
        loop {
            let page = self
                .reading(|mut stub| {
                    let request = request.clone();
                    async move { stub.list_stream_consumers(request).await }
                })
                .await?;
            consumers.extend(page.consumers);
            if page.next_token.is_none() {
                return Ok(consumers);
            }
            request.next_token = page.next_token;
        }
    }

    /// Removes a consumer and ends its subscriptions.
    pub async fn deregister_stream_consumer(
        &self,
        stream_name: &str,
        consumer_name: &str,
    ) -> Result<()> {
        let request = v1::DeregisterStreamConsumerRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            ..v1::DeregisterStreamConsumerRequest::default()
        };
        self.reply(self.stub().deregister_stream_consumer(request).await)?;
        Ok(())
    }

    /// Subscribes to a shard for five minutes. A [`Client::read`] with push subscribes again
    /// by itself.
    pub async fn subscribe_to_shard(
        &self,
        stream_name: &str,
        consumer_name: &str,
        shard_id: &str,
        position: Position,
    ) -> Result<Streaming<v1::SubscribeToShardEvent>> {
        let request = v1::SubscribeToShardRequest {
            stream_name: stream_name.to_owned(),
            consumer_name: consumer_name.to_owned(),
            shard_id: shard_id.to_owned(),
            starting_position: Some(position.to_starting_position()),
            ..v1::SubscribeToShardRequest::default()
        };
        self.reply(self.stub().subscribe_to_shard(request).await)
    }
}
