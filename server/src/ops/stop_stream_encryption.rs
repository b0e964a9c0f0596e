//! StopStreamEncryption.

use anabranch_proto::v1::{StopStreamEncryptionRequest, StopStreamEncryptionResponse};

use super::{Operation, Ops, Result, encryption};

impl Ops {
    /// Leaves a stream unencrypted, as every stream is: no key service is configured.
    pub(super) fn stop_stream_encryption(
        &self,
        request: StopStreamEncryptionRequest,
    ) -> Result<StopStreamEncryptionResponse> {
        encryption::check(request.encryption_type, &request.key_id)?;
        let stream = self.active_stream(&request)?;
        self.admit(Operation::StopStreamEncryption, Some(&stream))?;
        self.succeeded(Operation::StopStreamEncryption, &stream);
        self.show_updating(&stream);
        Ok(StopStreamEncryptionResponse {})
    }
}
