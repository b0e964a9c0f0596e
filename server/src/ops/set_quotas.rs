//! SetQuotas, which is no operation of Kinesis.

use anabranch_proto::v1::{SetQuotasRequest, SetQuotasResponse};

use super::{Ops, Result, settings};

impl Ops {
    /// Gives a stream quotas of its own, or those of the server again.
    pub(super) async fn set_quotas(&self, request: SetQuotasRequest) -> Result<SetQuotasResponse> {
        let quotas = settings::quotas(request.quotas)?;
        let stream = self.active_stream(&request)?;
        self.change_stream(&stream, move |settings| {
            settings.quotas = quotas;
            Ok(())
        })
        .await?;
        let in_force = quotas.unwrap_or(self.quotas);
        Ok(SetQuotasResponse { quotas: settings::shown_quotas(in_force).into() })
    }
}
