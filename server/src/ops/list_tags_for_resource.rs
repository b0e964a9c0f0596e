//! ListTagsForResource.

use anabranch_proto::v1::{ListTagsForResourceRequest, ListTagsForResourceResponse};

use super::{Operation, Ops, Result, tags};

impl Ops {
    /// Lists the tags of a stream or a consumer by key.
    pub(super) fn list_tags_for_resource(
        &self,
        request: ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceResponse> {
        let resource = self.resource(&request.resource_arn)?;
        self.check_made(resource.stream())?;
        self.admit(Operation::ListTagsForResource, None)?;
        Ok(ListTagsForResourceResponse { tags: tags::shown(&resource.tags()) })
    }
}
