//! DescribeAccountSettings.

use anabranch_proto::v1::{DescribeAccountSettingsRequest, DescribeAccountSettingsResponse};

use super::{Operation, Ops, Result, commitment};

impl Ops {
    /// Describes the settings of the account, which is the server.
    pub(super) fn describe_account_settings(
        &self,
        _request: DescribeAccountSettingsRequest,
    ) -> Result<DescribeAccountSettingsResponse> {
        self.admit(Operation::DescribeAccountSettings, None)?;
        let now = commitment::as_of(self.engine.account().commitment, self.engine.now_ms());
        let minimum_throughput_billing_commitment = Some(commitment::shown(now));
        Ok(DescribeAccountSettingsResponse { minimum_throughput_billing_commitment })
    }
}
