//! StartStreamEncryption.

use anabranch_proto::v1::{StartStreamEncryptionRequest, StartStreamEncryptionResponse};

use super::error::shown;
use super::{Kind, OpError, Operation, Ops, Result, encryption};

impl Ops {
    /// Refuses every key: there is no key service to find it in.
    pub(super) fn start_stream_encryption(
        &self,
        request: StartStreamEncryptionRequest,
    ) -> Result<StartStreamEncryptionResponse> {
        encryption::check(request.encryption_type, &request.key_id)?;
        let stream = self.active_stream(&request)?;
        self.admit(Operation::StartStreamEncryption, Some(&stream))?;
        let key_id = shown(&request.key_id);
        let message = format!(
            "key \"{key_id}\" cannot be found: no key service is configured, and records are not \
             encrypted at rest"
        );
        Err(OpError::in_its_words(Kind::KeyNotFound, "key_id", message).with("key_id", key_id))
    }
}
