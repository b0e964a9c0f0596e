//! DeleteResourcePolicy.

use anabranch_proto::v1::{DeleteResourcePolicyRequest, DeleteResourcePolicyResponse};

use super::resource::Attached;
use super::{Operation, Ops, Result};

impl Ops {
    /// Removes the policy of a stream or a consumer, if it has one.
    pub(super) async fn delete_resource_policy(
        &self,
        request: DeleteResourcePolicyRequest,
    ) -> Result<DeleteResourcePolicyResponse> {
        let resource = self.resource(&request.resource_arn)?;
        self.admit(Operation::DeleteResourcePolicy, None)?;
        let delete = |attached: Attached<'_>| {
            *attached.policy = None;
            Ok(())
        };
        self.change_resource(resource, delete).await?;
        Ok(DeleteResourcePolicyResponse {})
    }
}
