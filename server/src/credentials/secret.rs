//! A secret that does not get into logs.

use std::fmt;

use subtle::ConstantTimeEq;

/// A secret. Printing it for debugging shows nothing of it.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret with this text.
    pub fn new(text: &str) -> Self {
        Secret(text.into())
    }

    /// Its text, for deriving keys.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a text is the secret. How long it takes depends on the lengths alone.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
