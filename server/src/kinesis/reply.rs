//! What goes back over HTTP: the headers that every answer has, and a body in the request's encoding.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::value::{Encoding, Members, Value};
use super::{cbor, json};

/// Names an answer, for those who ask about it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The second name that the service gives each answer: 72 bytes in base64.
const SECOND_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
/// Bytes of the second name.
const SECOND_ID_BYTES: usize = 72;

/// The media type of what is answered to those who have named none that we know.
const MARKUP: &str = "text/xml";

/// The answer to a call that was carried out. Operations that say nothing have no body.
pub(super) fn done(encoding: Encoding, members: Members) -> Response<Body> {
    if members.is_empty() {
        return with_body(StatusCode::OK, encoding.content_type(), Bytes::new());
    }
    written(StatusCode::OK, encoding, members)
}

/// An answer with these members.
pub(super) fn written(status: StatusCode, encoding: Encoding, members: Members) -> Response<Body> {
    let mut out = BytesMut::new();
    let members = Value::Map(members);
    match encoding {
        Encoding::Json => json::write(&members, &mut out),
        Encoding::Cbor => cbor::write(&members, &mut out),
    }
    with_body(status, encoding.content_type(), out.freeze())
}

/// An answer in the markup that is given to those who have named no encoding.
pub(super) fn marked_up(status: StatusCode, text: String) -> Response<Body> {
    with_body(status, MARKUP, text.into())
}

/// An answer of these bytes.
pub(super) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    bytes: Bytes,
) -> Response<Body> {
    let len = bytes.len();
    let mut reply = streamed(content_type, Body::new(Full::new(bytes)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    reply
}

/// An answer whose length is not known when it begins.
pub(super) fn streamed(content_type: &'static str, body: Body) -> Response<Body> {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let (first, second) = ids();
    headers.insert(REQUEST_ID, first);
    headers.insert(SECOND_ID, second);
    reply
}

/// Names for an answer. They tell answers apart and protect nothing, so they need not be hard to
/// guess.
fn ids() -> (HeaderValue, HeaderValue) {
    use base64::Engine as _;
    // A random UUID says so in its version (4) and its variant (10 in two bits).
    let random = fastrand::u128(..);
    let uuid = random & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let first = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (uuid >> 96) as u32,
        (uuid >> 80) as u16,
        (uuid >> 64) as u16,
        (uuid >> 48) as u16,
        uuid as u64 & 0xffff_ffff_ffff
    );
    let mut bytes = [0; SECOND_ID_BYTES];
    fastrand::fill(&mut bytes);
    let second = base64::engine::general_purpose::STANDARD.encode(bytes);
    let value = |text: String| HeaderValue::from_str(&text).expect("it is ASCII");
    (value(first), value(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_names_of_its_own() {
        let (first, second) = ids();
        let first = first.to_str().unwrap();
        assert_eq!((first.len(), second.len()), (36, 96));
        assert_eq!(first.as_bytes()[14], b'4', "{first}");
        assert!(b"89ab".contains(&first.as_bytes()[19]), "{first}");
        assert_ne!(ids().0, ids().0);
    }
}
