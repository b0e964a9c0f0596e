//! EnableEnhancedMonitoring.

use anabranch_engine::settings::ShardMetrics;
use anabranch_proto::v1::{EnableEnhancedMonitoringRequest, EnableEnhancedMonitoringResponse};

use super::{Operation, Ops, Result};

impl Ops {
    /// Switches metrics of the single shards of a stream on.
    pub(super) async fn enable_enhanced_monitoring(
        &self,
        request: EnableEnhancedMonitoringRequest,
    ) -> Result<EnableEnhancedMonitoringResponse> {
        let metrics = &request.shard_level_metrics;
        let changed = self
            .change_monitoring(
                Operation::EnableEnhancedMonitoring,
                &request,
                metrics,
                ShardMetrics::union,
            )
            .await?;
        Ok(EnableEnhancedMonitoringResponse {
            stream_name: changed.stream_name,
            current_shard_level_metrics: changed.current,
            desired_shard_level_metrics: changed.desired,
            stream_arn: changed.stream_arn,
        })
    }
}
