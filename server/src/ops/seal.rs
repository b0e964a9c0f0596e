//! Sealed tokens: values that a client carries for us and cannot change.
//!
//! ```text
//! KIND (8 bytes) | content, padded with zeros to 16-byte blocks | HMAC-SHA256 (32 bytes)
//! ```
//!
//! In base64. The number of blocks is chosen so that the whole divides by three: there is no
//! base64 padding, one spelling of every token, and a shard iterator lies between 152 and 280
//! bytes, as those of the real service do. The key is kept in the catalog, so tokens survive a restart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What a token is for. A token of one kind is never taken for one of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A shard iterator: the real service's begin with a 1 too.
    ShardIterator = 1,
    /// Where a list of shards goes on.
    ShardPage = 2,
    /// Where a list of consumers goes on.
    ConsumerPage = 3,
    /// Where a list of streams goes on.
    StreamPage = 4,
}

const KIND_BYTES: usize = 8;
const BLOCK_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// Characters of a token at most (API model: 512). Ours have 480 at most.
const TOKEN_CHARS_MAX: usize = 512;

/// Seals and opens tokens.
#[derive(Clone)]
pub(super) struct Seal {
    /// Keyed once; every token starts from a copy.
    mac: Hmac<Sha256>,
}

impl Seal {
    /// A seal with the server's secret.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Seal { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// A token that holds `content`.
    pub(super) fn seal(&self, kind: Kind, content: &[u8]) -> String {
        let mut token = Vec::with_capacity(280);
        token.extend_from_slice(&(kind as u64).to_be_bytes());
        token.extend_from_slice(content);
        // 8 + 16 n divides by three where n leaves 1; ten blocks are the least.
        let mut blocks = (content.len() + MAC_BYTES).div_ceil(BLOCK_BYTES).max(10);
        while blocks % 3 != 1 {
            blocks += 1;
        }
        token.resize(KIND_BYTES + blocks * BLOCK_BYTES - MAC_BYTES, 0);
        let mac = self.mac(&token);
        token.extend_from_slice(&mac);
        STANDARD.encode(token)
    }

    /// What a token of that kind holds, with the zeros behind it; `None` if it is not ours.
    pub(super) fn open(&self, kind: Kind, token: &str) -> Option<Vec<u8>> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let mut bytes = STANDARD.decode(token).ok()?;
        let content_end = bytes.len().checked_sub(MAC_BYTES)?;
        let (sealed, mac) = bytes.split_at(content_end);
        if !bool::from(self.mac(sealed).ct_eq(mac)) {
            return None;
        }
        let rest = sealed.strip_prefix(&(kind as u64).to_be_bytes())?.len();
        bytes.truncate(content_end);
        bytes.drain(..content_end - rest);
        Some(bytes)
    }

    fn mac(&self, sealed: &[u8]) -> [u8; MAC_BYTES] {
        self.mac.clone().chain_update(sealed).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_as_it_was_sealed_and_has_no_padding() {
        let seal = Seal::new(&[1; 32]);
        for len in 0..=160 {
            let content: Vec<u8> = (0..len).map(|byte| byte as u8 + 1).collect();
            let token = seal.seal(Kind::ShardIterator, &content);
            assert!(token.len() <= TOKEN_CHARS_MAX && !token.contains('='));
            let opened = seal.open(Kind::ShardIterator, &token).unwrap();
            assert_eq!(&opened[..len], content);
            assert!(opened[len..].iter().all(|&byte| byte == 0));
            assert_eq!(seal.open(Kind::ShardPage, &token), None);
            assert_eq!(Seal::new(&[2; 32]).open(Kind::ShardIterator, &token), None);
        }
    }

    #[test]
    fn a_changed_or_cut_token_does_not_open() {
        let seal = Seal::new(&[1; 32]);
        let token = seal.seal(Kind::ShardIterator, b"content");
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(seal.open(Kind::ShardIterator, &changed), None, "{index}");
            assert_eq!(seal.open(Kind::ShardIterator, &token[..index]), None);
        }
        for forged in ["x".repeat(513), "ä".to_owned(), "=".repeat(8)] {
            assert_eq!(seal.open(Kind::ShardIterator, &forged), None);
        }
    }
}
