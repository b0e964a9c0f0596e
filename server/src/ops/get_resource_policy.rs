//! GetResourcePolicy.

use anabranch_proto::v1::{GetResourcePolicyRequest, GetResourcePolicyResponse};

use super::{Operation, Ops, Result};

/// The policy of a resource that has none.
const NO_POLICY: &str = "{}";

impl Ops {
    /// Gives the policy of a stream or a consumer as it was put.
    pub(super) fn get_resource_policy(
        &self,
        request: GetResourcePolicyRequest,
    ) -> Result<GetResourcePolicyResponse> {
        let resource = self.resource(&request.resource_arn)?;
        self.check_made(resource.stream())?;
        let policy = resource.policy();
        self.admit(Operation::GetResourcePolicy, None)?;
        let policy = policy.unwrap_or_else(|| NO_POLICY.to_owned());
        Ok(GetResourcePolicyResponse { policy })
    }
}
