//! Blobs as JSON has them: the standard alphabet of RFC 4648, with padding, and with zeros in the
//! bits that the last character has left over, as the service insists.

use base64_simd::{AsOut as _, STANDARD};
use bytes::BytesMut;

/// Bytes that text of `len` characters stands for at most.
pub const fn decoded_len_max(len: usize) -> usize {
    len.div_ceil(4) * 3
}

/// Decodes into the front of `room`, which has at least [`decoded_len_max`] bytes; says how many
/// there are.
pub fn decode_into(text: &[u8], room: &mut [u8]) -> Option<usize> {
    STANDARD.decode(text, room.as_out()).ok().map(|bytes| bytes.len())
}

/// The bytes that text stands for.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode_to_vec(text).ok()
}

/// Appends the text for bytes.
pub fn append(bytes: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.resize(start + STANDARD.encoded_length(bytes.len()), 0);
    let _ = STANDARD.encode(bytes, out[start..].as_out());
}

/// Why text is not base64, in the service's words.
pub fn fault(text: &str) -> String {
    let len = text.chars().count();
    if !len.is_multiple_of(4) {
        return format!("Base64 encoded length is expected a multiple of 4 bytes but found: {len}");
    }
    // Padding may only be followed by padding.
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let is_misplaced = char == '=' && chars.peek().is_some_and(|&next| next != '=');
        if is_misplaced || !(char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '=')) {
            return format!("Invalid Base64 character: '{char}'");
        }
    }
    "Invalid last non-pad Base64 character dectected".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_other_text_is_refused() {
        for len in 0..100u8 {
            let bytes: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(151)).collect();
            let mut text = BytesMut::from("kept");
            append(&bytes, &mut text);
            let text = &text[4..];
            assert_eq!(decode(text), Some(bytes.clone()));
            let mut room = vec![0; decoded_len_max(text.len())];
            assert_eq!(decode_into(text, &mut room), Some(bytes.len()));
            assert_eq!(room[..bytes.len()], bytes);
        }
        for text in ["a", "ab", "abc", "YQ", "YR==", "YWJ=", "+/+=", "=+/=", "YQ==YQ==", "Y-_="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    /// As recorded from the service.
    #[test]
    fn what_is_wrong_is_told_in_the_services_words() {
        for (text, why) in [
            ("23456", "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
            ("=+/=", "Invalid Base64 character: '='"),
            ("+/+=", "Invalid last non-pad Base64 character dectected"),
        ] {
            assert_eq!(fault(text), why);
        }
    }
}
