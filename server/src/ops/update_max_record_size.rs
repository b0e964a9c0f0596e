//! UpdateMaxRecordSize.

use anabranch_proto::v1::{UpdateMaxRecordSizeRequest, UpdateMaxRecordSizeResponse};

use super::{Operation, Ops, Result, settings};

impl Ops {
    /// Sets how large a record of a stream may be. Those that are there stay.
    pub(super) async fn update_max_record_size(
        &self,
        request: UpdateMaxRecordSizeRequest,
    ) -> Result<UpdateMaxRecordSizeResponse> {
        let max_record_kib = settings::max_record_kib(request.max_record_size_in_kib)?;
        let stream = self.active_stream(&request)?;
        self.admit(Operation::UpdateMaxRecordSize, Some(&stream))?;
        self.change_stream(&stream, move |settings| {
            settings.max_record_kib = max_record_kib;
            Ok(())
        })
        .await?;
        Ok(UpdateMaxRecordSizeResponse {})
    }
}
