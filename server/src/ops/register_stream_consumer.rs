//! RegisterStreamConsumer.

use anabranch_engine::error::Error;
use anabranch_proto::v1::{RegisterStreamConsumerRequest, RegisterStreamConsumerResponse};

use super::{Operation, Ops, Result, names, tags};

impl Ops {
    /// Registers a consumer for push; it is there when the call returns.
    pub(super) async fn register_stream_consumer(
        &self,
        request: RegisterStreamConsumerRequest,
    ) -> Result<RegisterStreamConsumerResponse> {
        let name = names::consumer_name(&request.consumer_name)?;
        let stream = self.active_stream(&request)?;
        let tags = tags::checked(request.tags)?;
        if self.deregistered(&stream, &name).is_some() {
            // It is free when the consumer of that name is gone.
            let (name, consumer) = (stream.name().clone(), name);
            return Err(Error::ConsumerExists { name, consumer }.into());
        }
        self.check_creating_quota(&stream)?;
        self.admit(Operation::RegisterStreamConsumer, Some(&stream))?;
        let (stream, consumer) = self
            .blocking(move |engine| {
                let consumer = engine.register_consumer(&stream, &name, tags)?;
                Ok((stream, consumer))
            })
            .await?;
        self.show_registered(&stream, &consumer);
        Ok(RegisterStreamConsumerResponse {
            consumer: Some(self.show_consumer(&stream, &consumer)),
        })
    }
}
