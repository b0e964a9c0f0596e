//! DeleteStream.

use anabranch_proto::v1::{DeleteStreamRequest, DeleteStreamResponse};

use super::names::NamesStream;
use super::{Kind, OpError, Operation, Ops, Result};

impl Ops {
    /// Deletes a stream. Its readers and writers learn of it from the engine.
    pub(super) async fn delete_stream(
        &self,
        request: DeleteStreamRequest,
    ) -> Result<DeleteStreamResponse> {
        let name = request.stream_fields().stream_name()?;
        self.check_not_deleting(&name)?;
        let stream = self.stream_of_name(&name)?;
        let consumers = stream.consumers().len();
        if consumers > 0 && !request.enforce_consumer_deletion {
            let message = format!(
                "stream {name} has {consumers} registered consumers; deregister them first, or \
                 set enforce_consumer_deletion"
            );
            return Err(OpError::new(Kind::ResourceInUse, message)
                .with("stream_name", name.as_str())
                .with("consumers", consumers.to_string()));
        }
        self.admit(Operation::DeleteStream, Some(&stream))?;
        let deleted = self.as_deleting(&stream);
        self.blocking(move |engine| engine.delete_stream(stream.name())).await?;
        self.show_deleting(&name, deleted);
        Ok(DeleteStreamResponse {})
    }
}
