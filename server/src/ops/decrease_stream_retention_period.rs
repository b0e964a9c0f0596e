//! DecreaseStreamRetentionPeriod.

use anabranch_engine::limits::RETENTION_HOURS_MIN;
use anabranch_proto::v1::{
    DecreaseStreamRetentionPeriodRequest, DecreaseStreamRetentionPeriodResponse,
};

use super::{Operation, Ops, Result, names};

impl Ops {
    /// Keeps records for less long. The current
    /// value is accepted, as the service accepts it.
    pub(super) async fn decrease_stream_retention_period(
        &self,
        request: DecreaseStreamRetentionPeriodRequest,
    ) -> Result<DecreaseStreamRetentionPeriodResponse> {
        let stream = self.active_stream(&request)?;
        let hours = request.retention_period_hours;
        let current = stream.retention_hours();
        let allowed = RETENTION_HOURS_MIN..=current;
        names::within("retention_period_hours", Some(hours), allowed, current)?;
        self.admit(Operation::DecreaseStreamRetentionPeriod, Some(&stream))?;
        if hours != current {
            self.blocking(move |engine| engine.set_retention_hours(&stream, hours)).await?;
        }
        Ok(DecreaseStreamRetentionPeriodResponse {})
    }
}
