//! DisableEnhancedMonitoring.

use anabranch_engine::settings::ShardMetrics;
use anabranch_proto::v1::{DisableEnhancedMonitoringRequest, DisableEnhancedMonitoringResponse};

use super::{Operation, Ops, Result};

impl Ops {
    /// Switches metrics of the single shards of a stream off.
    pub(super) async fn disable_enhanced_monitoring(
        &self,
        request: DisableEnhancedMonitoringRequest,
    ) -> Result<DisableEnhancedMonitoringResponse> {
        let metrics = &request.shard_level_metrics;
        let changed = self
            .change_monitoring(
                Operation::DisableEnhancedMonitoring,
                &request,
                metrics,
                ShardMetrics::without,
            )
            .await?;
        Ok(DisableEnhancedMonitoringResponse {
            stream_name: changed.stream_name,
            current_shard_level_metrics: changed.current,
            desired_shard_level_metrics: changed.desired,
            stream_arn: changed.stream_arn,
        })
    }
}
