//! Policies of streams and of consumers.

use anabranch_proto::v1;

use super::{FromMembers, IntoMembers, empty, text};
use crate::kinesis::value::Members;

impl FromMembers for v1::PutResourcePolicyRequest {
    fn from_members(mut members: Members) -> Self {
        v1::PutResourcePolicyRequest {
            resource_arn: text(&mut members, "ResourceARN"),
            policy: text(&mut members, "Policy"),
        }
    }
}

impl FromMembers for v1::GetResourcePolicyRequest {
    fn from_members(mut members: Members) -> Self {
        v1::GetResourcePolicyRequest { resource_arn: text(&mut members, "ResourceARN") }
    }
}

impl IntoMembers for v1::GetResourcePolicyResponse {
    fn into_members(self) -> Members {
        Members::new().with("Policy", self.policy)
    }
}

impl FromMembers for v1::DeleteResourcePolicyRequest {
    fn from_members(mut members: Members) -> Self {
        v1::DeleteResourcePolicyRequest { resource_arn: text(&mut members, "ResourceARN") }
    }
}

empty! {
    DeleteResourcePolicyResponse,
    PutResourcePolicyResponse,
}
