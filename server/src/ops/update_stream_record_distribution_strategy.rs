//! UpdateStreamRecordDistributionStrategy.

use anabranch_proto::v1::{
    UpdateStreamRecordDistributionStrategyRequest, UpdateStreamRecordDistributionStrategyResponse,
};

use super::{OpError, Operation, Ops, Result, settings};

impl Ops {
    /// Sets what chooses the shard of a record that is put from now on.
    pub(super) async fn update_stream_record_distribution_strategy(
        &self,
        request: UpdateStreamRecordDistributionStrategyRequest,
    ) -> Result<UpdateStreamRecordDistributionStrategyResponse> {
        let distribution = settings::distribution(request.record_distribution_strategy)?
            .ok_or_else(|| OpError::invalid("record_distribution_strategy", "is missing"))?;
        let stream = self.active_stream(&request)?;
        self.admit(Operation::UpdateStreamRecordDistributionStrategy, Some(&stream))?;
        self.change_stream(&stream, move |settings| {
            settings::check_distribution(settings.mode, distribution)?;
            settings.distribution = distribution;
            Ok(())
        })
        .await?;
        Ok(UpdateStreamRecordDistributionStrategyResponse {})
    }
}
