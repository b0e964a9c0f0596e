//! IncreaseStreamRetentionPeriod.

use anabranch_engine::limits::RETENTION_HOURS_MAX;
use anabranch_proto::v1::{
    IncreaseStreamRetentionPeriodRequest, IncreaseStreamRetentionPeriodResponse,
};

use super::{Operation, Ops, Result, names};

impl Ops {
    /// Keeps records for longer. What is beyond the horizon already does not return. The current
    /// value is accepted, as the service accepts it.
    pub(super) async fn increase_stream_retention_period(
        &self,
        request: IncreaseStreamRetentionPeriodRequest,
    ) -> Result<IncreaseStreamRetentionPeriodResponse> {
        let stream = self.active_stream(&request)?;
        let hours = request.retention_period_hours;
        let current = stream.retention_hours();
        let allowed = current..=RETENTION_HOURS_MAX;
        names::within("retention_period_hours", Some(hours), allowed, current)?;
        self.admit(Operation::IncreaseStreamRetentionPeriod, Some(&stream))?;
        if hours != current {
            self.blocking(move |engine| engine.set_retention_hours(&stream, hours)).await?;
        }
        Ok(IncreaseStreamRetentionPeriodResponse {})
    }
}
