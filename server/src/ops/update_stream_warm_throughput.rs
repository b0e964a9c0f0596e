//! UpdateStreamWarmThroughput.

use anabranch_engine::settings::StreamMode;
use anabranch_proto::v1::{UpdateStreamWarmThroughputRequest, UpdateStreamWarmThroughputResponse};

use super::{Kind, OpError, Operation, Ops, Result, settings};

impl Ops {
    /// Sets the throughput that an on-demand stream is kept ready for.
    pub(super) async fn update_stream_warm_throughput(
        &self,
        request: UpdateStreamWarmThroughputRequest,
    ) -> Result<UpdateStreamWarmThroughputResponse> {
        let mib_s = self.warm_throughput(StreamMode::OnDemand, request.warm_throughput_mibps)?;
        let stream = self.active_stream(&request)?;
        self.admit(Operation::UpdateStreamWarmThroughput, Some(&stream))?;
        let name = stream.name().clone();
        self.change_stream(&stream, move |settings| {
            if settings.mode == StreamMode::Provisioned {
                let message = format!(
                    "stream {name} is provisioned; warm throughput is for on-demand streams"
                );
                let error = OpError::new(Kind::Validation, message);
                return Err(error.with("stream_name", name.as_str()));
            }
            settings.warm_throughput_mib_s = mib_s;
            Ok(())
        })
        .await?;
        self.show_updating(&stream);
        Ok(UpdateStreamWarmThroughputResponse {
            stream_name: stream.name().as_str().to_owned(),
            stream_arn: self.owner.stream_arn(stream.name()),
            warm_throughput: Some(settings::shown_warm_throughput(&stream)),
        })
    }
}
