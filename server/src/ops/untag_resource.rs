//! UntagResource.

use anabranch_proto::v1::{UntagResourceRequest, UntagResourceResponse};

use super::resource::Attached;
use super::{Operation, Ops, Result, tags};

impl Ops {
    /// Removes tags from a stream or a consumer; those that it does not have are ignored.
    pub(super) async fn untag_resource(
        &self,
        request: UntagResourceRequest,
    ) -> Result<UntagResourceResponse> {
        let resource = self.resource(&request.resource_arn)?;
        let keys = tags::checked_keys(request.tag_keys)?;
        self.admit(Operation::UntagResource, None)?;
        let remove = move |attached: Attached<'_>| {
            tags::remove(attached.tags, &keys);
            Ok(())
        };
        self.change_resource(resource, remove).await?;
        Ok(UntagResourceResponse {})
    }
}
