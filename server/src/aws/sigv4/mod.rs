//! AWS Signature Version 4, the verifying half: who signed a request, and whether what has arrived
//! is what was signed.
//!
//! ```text
//!   Authorization header, or X-Amz-... in the query
//!     --> Authorization::parse     is there a signature with all its parts?
//!     --> Authorization::verify    date, scope and signed headers as they must be; then
//!           canonical request --> SHA-256 --> string to sign --> HMAC with the signing key
//!           and a comparison in constant time
//! ```
//!
//! A server without credentials stops behind `parse`: it takes whatever is formed like a
//! signature, as local stand-ins of the service do. All of it is a function of the request, the
//! time and a secret; only the signing keys of a day, which are derived from secrets, are kept.
//!
//! We are stricter than the service where that costs an honest client nothing. The hash of the
//! body is always computed, so an unsigned one is refused. Every `x-amz-` header must be signed.
//! A header that decides about the signature may be there once only.

mod authorization;
mod canonical;
mod error;
mod keys;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub use self::authorization::{Authorization, Form};
pub use self::error::AuthError;
pub use self::keys::SigningKeys;

use http::request::Parts;
use http::{HeaderMap, Method};

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request, as far as a signature speaks of it. It has no `Debug`, since its headers may hold
/// what is nobody's business.
#[derive(Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it was sent, still encoded.
    pub path: &'a str,
    /// The query as it was sent, without its question mark; empty where there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What stands for the `host` header where that is missing: `:authority` of HTTP/2.
    pub authority: Option<&'a str>,
    /// The SHA-256 of the body.
    pub body_sha256: [u8; 32],
}

impl<'a> SignedRequest<'a> {
    /// The request with these parts and a body of that SHA-256.
    pub fn new(parts: &'a Parts, body_sha256: [u8; 32]) -> Self {
        SignedRequest {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            authority: parts.uri.authority().map(|authority| authority.as_str()),
            body_sha256,
        }
    }
}

/// Bytes in lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
