//! RegisterStreamConsumer.

use anabranch_proto::v1::{RegisterStreamConsumerRequest, RegisterStreamConsumerResponse};

use super::{Operation, Ops, Result, names, tags};

impl Ops {
    /// Registers a consumer for push; it is there when the call returns.
    pub async fn register_stream_consumer(
        &self,
        request: RegisterStreamConsumerRequest,
    ) -> Result<RegisterStreamConsumerResponse> {
        let name = names::consumer_name(&request.consumer_name)?;
        let stream = self.named_stream(&request)?;
        let tags = tags::checked(request.tags)?;
        self.admit(Operation::RegisterStreamConsumer, Some(&stream))?;
        let (stream, consumer) = self
            .blocking(move |engine| {
                let consumer = engine.register_consumer(&stream, &name, tags)?;
                Ok((stream, consumer))
            })
            .await?;
        Ok(RegisterStreamConsumerResponse {
            consumer: Some(self.show_consumer(&stream, &consumer)),
        })
    }
}
