//! What a request says about encryption, checked. Encryption at rest does not exist yet.

use anabranch_proto::v1::EncryptionType;

use super::{OpError, Result};

/// Characters of a key's id, ARN or alias at most (API model).
const KEY_ID_CHARS_MAX: u64 = 2048;

/// Refuses a type other than KMS, and what cannot be a key.
pub(super) fn check(encryption_type: i32, key_id: &str) -> Result<()> {
    if EncryptionType::try_from(encryption_type) != Ok(EncryptionType::Kms) {
        let why = "is missing or unknown; the only type that is started or stopped is KMS";
        return Err(OpError::invalid("encryption_type", why));
    }
    let chars = key_id.chars().count() as u64;
    if !(1..=KEY_ID_CHARS_MAX).contains(&chars) {
        let why = format_args!("has {chars} characters, allowed are 1 to {KEY_ID_CHARS_MAX}");
        return Err(OpError::invalid_text("key_id", key_id, why));
    }
    Ok(())
}
