//! UpdateAccountSettings.

use anabranch_engine::AccountSettings;
use anabranch_proto::v1::MinimumThroughputBillingCommitmentStatus as Status;
use anabranch_proto::v1::{UpdateAccountSettingsRequest, UpdateAccountSettingsResponse};

use super::{OpError, Operation, Ops, Result, commitment};

impl Ops {
    /// Enables or disables the account's commitment. Of two calls at the same time either one
    /// may be the last.
    pub(super) async fn update_account_settings(
        &self,
        request: UpdateAccountSettingsRequest,
    ) -> Result<UpdateAccountSettingsResponse> {
        let field = "minimum_throughput_billing_commitment.status";
        let wanted = request.minimum_throughput_billing_commitment.unwrap_or_default().status;
        let is_enabled = match Status::try_from(wanted) {
            Ok(Status::CommitmentEnabled) => true,
            Ok(Status::CommitmentDisabled) => false,
            Ok(Status::CommitmentEnabledUntilEarliestAllowedEnd) => {
                return Err(OpError::invalid(field, "is a status that cannot be asked for"));
            }
            Ok(Status::Unspecified) | Err(_) => {
                return Err(OpError::invalid(field, "is missing or unknown"));
            }
        };
        self.admit(Operation::UpdateAccountSettings, None)?;
        let now_ms = self.engine.now_ms();
        let changed = commitment::changed(self.engine.account().commitment, is_enabled, now_ms);
        let account = AccountSettings { commitment: changed };
        self.blocking(move |engine| engine.set_account(account)).await?;
        Ok(UpdateAccountSettingsResponse {
            minimum_throughput_billing_commitment: Some(commitment::shown(changed)),
        })
    }
}
