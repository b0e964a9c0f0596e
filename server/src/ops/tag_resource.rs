//! TagResource.

use anabranch_proto::v1::{TagResourceRequest, TagResourceResponse};

use super::resource::Attached;
use super::{Operation, Ops, Result, tags};

impl Ops {
    /// Adds tags to a stream or a consumer, or overwrites the values of those that it has.
    pub(super) async fn tag_resource(
        &self,
        request: TagResourceRequest,
    ) -> Result<TagResourceResponse> {
        let resource = self.resource(&request.resource_arn)?;
        let added = tags::some_checked(request.tags)?;
        self.admit(Operation::TagResource, None)?;
        let add = move |attached: Attached<'_>| tags::add(attached.tags, added);
        self.change_resource(resource, add).await?;
        Ok(TagResourceResponse {})
    }
}
