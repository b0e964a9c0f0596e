//! DeleteStream.

use anabranch_proto::v1::{DeleteStreamRequest, DeleteStreamResponse};

use super::{Kind, OpError, Operation, Ops, Result};

impl Ops {
    /// Deletes a stream. Its readers and writers learn of it from the engine.
    pub async fn delete_stream(
        &self,
        request: DeleteStreamRequest,
    ) -> Result<DeleteStreamResponse> {
        let stream = self.named_stream(&request)?;
        let consumers = stream.consumers().len();
        if consumers > 0 && !request.enforce_consumer_deletion {
            let name = stream.name();
            let message = format!(
                "stream {name} has {consumers} registered consumers; deregister them first, or \
                 set enforce_consumer_deletion"
            );
            return Err(OpError::new(Kind::ResourceInUse, message)
                .with("stream_name", name.as_str())
                .with("consumers", consumers.to_string()));
        }
        self.admit(Operation::DeleteStream, Some(&stream))?;
        let (name, described) = (stream.name().clone(), self.description(&stream));
        self.blocking(move |engine| engine.delete_stream(stream.name())).await?;
        self.show_deleting(&name, described);
        Ok(DeleteStreamResponse {})
    }
}
