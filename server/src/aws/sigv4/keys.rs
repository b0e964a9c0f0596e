//! Signing keys: what a secret becomes for one day, region and service.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

/// Keys that are kept at most: one for each credential and region that was used today, and those
/// of yesterday, of some hundred credentials. One that is not kept costs four short HMACs.
const KEYS_MAX: usize = 512;

/// The signing keys that were used, by the credential scope as the requests have it. Only those of
/// signatures that were right are kept, so strangers cannot fill it. It belongs to one set of
/// secrets: other secrets need another.
#[derive(Default)]
pub struct SigningKeys {
    kept: Mutex<HashMap<String, [u8; 32]>>,
}

impl SigningKeys {
    /// The key for a credential with its whole scope, of which the parts are given too.
    pub(super) fn key(&self, credential: &str, secret: &str, scope: [&str; 4]) -> [u8; 32] {
        let kept = self.kept.lock().get(credential).copied();
        kept.unwrap_or_else(|| signing_key(secret, scope))
    }

    /// Keeps a key with which a signature was right.
    pub(super) fn keep(&self, credential: &str, key: [u8; 32]) {
        let mut kept = self.kept.lock();
        if kept.contains_key(credential) {
            return;
        }
        if kept.len() >= KEYS_MAX {
            // Yesterday's are among them, and today's come back at once.
            kept.clear();
        }
        kept.insert(credential.to_owned(), key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.lock().len()
    }
}

/// Derives a signing key: an HMAC for each part of the scope.
fn signing_key(secret: &str, scope: [&str; 4]) -> [u8; 32] {
    let first = hmac(format!("AWS4{secret}").as_bytes(), scope[0].as_bytes());
    scope[1..].iter().fold(first, |key, part| hmac(&key, part.as_bytes()))
}

/// The HMAC-SHA256 of a message.
pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}
