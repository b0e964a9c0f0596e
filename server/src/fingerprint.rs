//! By what a certificate is known.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The SHA-256 of a certificate in DER: 32 bytes, shown as openssl does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint([u8; 32]);

/// What is no [`Fingerprint`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("is no SHA-256: 64 hexadecimal digits, with or without colons")]
pub struct NotFingerprint;

impl Fingerprint {
    /// That of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = NotFingerprint;

    fn from_str(text: &str) -> Result<Self, NotFingerprint> {
        let mut digits = text.chars().filter(|char| *char != ':').map(|char| char.to_digit(16));
        let mut digit = || digits.next().flatten().ok_or(NotFingerprint);
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            *byte = (digit()? << 4 | digit()?) as u8;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NotFingerprint),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_openssl_shows_it_and_without_colons() {
        let abc = Fingerprint::of(b"abc");
        let text = abc.to_string();
        assert!(text.starts_with("BA:78:16:BF:") && text.ends_with(":15:AD"), "{text}");
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(abc));
        assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(abc));
        for wrong in ["", "AB", &text[..93], &format!("{text}:00"), &text.replace('A', "g")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotFingerprint), "{wrong}");
        }
    }
}
