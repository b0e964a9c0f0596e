//! UpdateStreamMode.

use anabranch_engine::settings::StreamMode;
use anabranch_proto::v1::{UpdateStreamModeRequest, UpdateStreamModeResponse};

use super::{OpError, Operation, Ops, Result, settings};

impl Ops {
    /// Changes who decides how many shards a stream has. The shards that it has stay as they are.
    pub(super) async fn update_stream_mode(
        &self,
        request: UpdateStreamModeRequest,
    ) -> Result<UpdateStreamModeResponse> {
        let mode = settings::mode(request.stream_mode)?
            .ok_or_else(|| OpError::invalid("stream_mode", "is missing"))?;
        let warm = request.warm_throughput_mibps;
        let warm = warm.map(|mib_s| self.warm_throughput(mode, mib_s)).transpose()?;
        let stream = self.active_stream(&request)?;
        let is_switched = stream.settings().mode != mode;
        if is_switched {
            match mode {
                StreamMode::OnDemand => self.check_on_demand_quota()?,
                StreamMode::Provisioned => {
                    self.check_shard_quota(stream.shards().open().len() as u32)?;
                }
            }
        }
        self.admit(Operation::UpdateStreamMode, Some(&stream))?;
        let is_changed = is_switched || warm.is_some();
        self.change_stream(&stream, move |settings| {
            settings::check_distribution(mode, settings.distribution)?;
            settings.mode = mode;
            settings.warm_throughput_mib_s = match (mode, warm) {
                (StreamMode::Provisioned, _) => 0,
                (StreamMode::OnDemand, warm) => warm.unwrap_or(settings.warm_throughput_mib_s),
            };
            Ok(())
        })
        .await?;
        if is_changed {
            self.show_updating(&stream);
        }
        if is_switched {
            self.succeeded(Operation::UpdateStreamMode, &stream);
        }
        Ok(UpdateStreamModeResponse {})
    }
}
