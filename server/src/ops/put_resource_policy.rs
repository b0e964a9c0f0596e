//! PutResourcePolicy.

use anabranch_proto::v1::{PutResourcePolicyRequest, PutResourcePolicyResponse};

use super::resource::Attached;
use super::{Operation, Ops, Result, policy};

impl Ops {
    /// Attaches a policy to a stream or a consumer, in place of the one it has.
    pub(super) async fn put_resource_policy(
        &self,
        request: PutResourcePolicyRequest,
    ) -> Result<PutResourcePolicyResponse> {
        let resource = self.resource(&request.resource_arn)?;
        policy::check(&request.policy)?;
        self.admit(Operation::PutResourcePolicy, None)?;
        let put = move |attached: Attached<'_>| {
            *attached.policy = Some(request.policy);
            Ok(())
        };
        self.change_resource(resource, put).await?;
        Ok(PutResourcePolicyResponse {})
    }
}
