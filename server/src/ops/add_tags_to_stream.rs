//! AddTagsToStream.

use anabranch_proto::v1::{AddTagsToStreamRequest, AddTagsToStreamResponse};

use super::resource::{Attached, Resource};
use super::{Operation, Ops, Result, tags};

impl Ops {
    /// Adds tags to a stream, or overwrites the values of those that it has.
    pub(super) async fn add_tags_to_stream(
        &self,
        request: AddTagsToStreamRequest,
    ) -> Result<AddTagsToStreamResponse> {
        let stream = self.named_stream(&request)?;
        let added = tags::some_checked(request.tags)?;
        self.admit(Operation::AddTagsToStream, Some(&stream))?;
        let add = move |attached: Attached<'_>| tags::add(attached.tags, added);
        self.change_resource(Resource::Stream(stream), add).await?;
        Ok(AddTagsToStreamResponse {})
    }
}
