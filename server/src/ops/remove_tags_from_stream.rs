//! RemoveTagsFromStream.

use anabranch_proto::v1::{RemoveTagsFromStreamRequest, RemoveTagsFromStreamResponse};

use super::resource::{Attached, Resource};
use super::{Operation, Ops, Result, tags};

impl Ops {
    /// Removes tags from a stream; those that it does not have are ignored.
    pub(super) async fn remove_tags_from_stream(
        &self,
        request: RemoveTagsFromStreamRequest,
    ) -> Result<RemoveTagsFromStreamResponse> {
        let stream = self.named_stream(&request)?;
        let keys = tags::checked_keys(request.tag_keys)?;
        self.admit(Operation::RemoveTagsFromStream, Some(&stream))?;
        let remove = move |attached: Attached<'_>| {
            tags::remove(attached.tags, &keys);
            Ok(())
        };
        self.change_resource(Resource::Stream(stream), remove).await?;
        Ok(RemoveTagsFromStreamResponse {})
    }
}
