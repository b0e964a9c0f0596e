//! The canonical request: one spelling for all requests that mean the same.
//!
//! ```text
//! METHOD \n PATH \n QUERY \n NAME:VALUE \n ... \n \n NAMES \n HASH OF THE BODY
//! ```
//!
//! The path is normalised and encoded once more than it was sent, as for every service but S3. The
//! query is decoded, encoded and sorted. Values of headers are trimmed and runs of spaces in them
//! are one; only spaces, because other white space does not survive in the same way everywhere.

use std::fmt::Write;

use http::HeaderMap;

use super::{SignedRequest, hex};

/// The canonical form of a request whose signature covers these headers. `None` where one of them
/// is not there. A presigned request is signed before its signature is in the query.
pub(super) fn request<'a>(
    request: &SignedRequest<'_>,
    signed_headers: impl Iterator<Item = &'a str> + Clone,
    is_presigned: bool,
) -> Option<Vec<u8>> {
    let mut text = String::with_capacity(512);
    text += request.method.as_str();
    text.push('\n');
    path(request.path, &mut text);
    text.push('\n');
    query(request.query, is_presigned, &mut text);
    text.push('\n');
    // Values of headers need not be text.
    let mut bytes = text.into_bytes();
    for name in signed_headers.clone() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b':');
        header(name, request.headers, request.authority, &mut bytes)?;
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    for (index, name) in signed_headers.enumerate() {
        if index > 0 {
            bytes.push(b';');
        }
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(hex(&request.body_sha256).as_bytes());
    Some(bytes)
}

/// The parts of a query, as they were sent.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// The bytes that an encoded text stands for. A percent sign that leads no two digits stands for
/// itself.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

fn encode(bytes: &[u8], is_kept: impl Fn(u8) -> bool, out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || is_kept(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a text takes all that is written to it");
        }
    }
}

/// The path without `.`, `..` and empty segments.
fn path(path: &str, out: &mut String) {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push('/');
        encode(segment.as_bytes(), |_| false, out);
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

fn query(query: &str, is_presigned: bool, out: &mut String) {
    let encoded = |text| {
        let mut encoded = String::new();
        encode(&decode(text), |_| false, &mut encoded);
        encoded
    };
    let pairs = pairs(query).map(|(name, value)| (encoded(name), encoded(value)));
    let mut pairs: Vec<_> =
        pairs.filter(|(name, _)| !(is_presigned && name == "X-Amz-Signature")).collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push('&');
        }
        *out += name;
        out.push('=');
        *out += value;
    }
}

/// The values of a header, in their order.
fn header(
    name: &str,
    headers: &HeaderMap,
    authority: Option<&str>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes()).peekable();
    if values.peek().is_none() {
        let authority = authority.filter(|_| name == "host")?;
        out.extend_from_slice(authority.as_bytes());
        return Some(());
    }
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let words = value.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        for (index, word) in words.enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
    Some(())
}
