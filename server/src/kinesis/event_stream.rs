//! Frames of an event stream, as the AWS SDKs read them.
//!
//! ```text
//! TOTAL bytes u32 | HEADERS bytes u32 | CRC-32 of these | headers | payload | CRC-32 of all before
//!
//! header: NAME bytes u8 | name | TYPE u8 | VALUE bytes u16 | value            all big endian
//! ```
//!
//! A frame is written straight into the buffer that is sent: its payload is made in place, then
//! its lengths and checksums are put where they belong. All headers are texts, which is type 7.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::value::{Encoding, Members, Value};

/// The media type of a body that is an event stream.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Both lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type of a header's value: text.
const TYPE_TEXT: u8 = 7;
/// Bytes of a frame at most: what the strictest of the SDKs reads. The largest record, in base64,
/// leaves 2 MiB of it.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Appends the frame that every stream begins with. It holds the members of the reply beside the
/// stream, of which there are none.
pub fn put_initial_response(encoding: Encoding, out: &mut BytesMut) {
    let none = Value::Map(Members::new());
    put_event(encoding, "initial-response", out, |out| encoding.write(&none, out));
}

/// Appends an event whose payload `write` writes, in this encoding.
pub fn put_event<T>(
    encoding: Encoding,
    event: &str,
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> T,
) -> T {
    let payload = payload_type(encoding);
    let headers = [(":message-type", "event"), (":event-type", event), (":content-type", payload)];
    put_frame(&headers, out, write)
}

/// Appends the exception with which a stream breaks off.
pub fn put_exception(encoding: Encoding, exception: &str, message: &str, out: &mut BytesMut) {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", exception),
        (":content-type", payload_type(encoding)),
    ];
    let members = Value::Map(Members::new().with("message", message));
    put_frame(&headers, out, |out| encoding.write(&members, out));
}

/// The media type of payloads: in an event stream JSON goes by its plain name. The SDK for Java, which
/// sends CBOR otherwise, asks for its subscriptions in JSON; what is asked for in CBOR gets CBOR.
fn payload_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Cbor => encoding.content_type(),
    }
}

/// Appends a frame with these headers, whose payload `write` writes.
///
/// # Panics
///
/// When a name has more than 255 bytes, a value more than 65,535, or the frame more than 4 GiB.
pub fn put_frame<T>(
    headers: &[(&str, &str)],
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> T,
) -> T {
    let start = out.len();
    out.put_bytes(0, PRELUDE_BYTES);
    for (name, value) in headers {
        out.put_u8(u8::try_from(name.len()).expect("a header's name is short"));
        out.put_slice(name.as_bytes());
        out.put_u8(TYPE_TEXT);
        out.put_u16(u16::try_from(value.len()).expect("a header's value is short"));
        out.put_slice(value.as_bytes());
    }
    let headers_bytes = u32_of(out.len() - start - PRELUDE_BYTES);
    let written = write(out);
    let total_bytes = u32_of(out.len() - start + CRC_BYTES);
    let frame = &mut out[start..];
    frame[..4].copy_from_slice(&total_bytes.to_be_bytes());
    frame[4..8].copy_from_slice(&headers_bytes.to_be_bytes());
    let prelude_crc = crc32fast::hash(&frame[..8]);
    frame[8..PRELUDE_BYTES].copy_from_slice(&prelude_crc.to_be_bytes());
    let crc = crc32fast::hash(frame);
    out.put_u32(crc);
    written
}

fn u32_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a frame holds one event, which is of some MiB")
}

/// A frame as it is read: what a client of ours, or a test, makes of the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Names and values, in their order.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The payload.
    pub payload: &'a [u8],
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes end before the frame does.
    Truncated,
    /// The lengths contradict each other, or the frame is longer than [`FRAME_BYTES_MAX`].
    Length,
    /// A checksum is wrong.
    Checksum,
    /// A header is cut off, or is not text.
    Header,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Truncated => "the bytes end within a frame",
            Malformed::Length => "a frame has impossible lengths",
            Malformed::Checksum => "a frame has a wrong checksum",
            Malformed::Header => "a frame has a header that is not text",
        })
    }
}

impl std::error::Error for Malformed {}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, and says how many of them it takes.
    pub fn read(bytes: &'a [u8]) -> Result<(Frame<'a>, usize), Malformed> {
        let u32_at = |at: usize| {
            let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or(Malformed::Truncated)
        };
        let (total, headers_bytes) = (u32_at(0)? as usize, u32_at(4)? as usize);
        // Before the lengths are believed.
        if u32_at(8)? != crc32fast::hash(&bytes[..8]) {
            return Err(Malformed::Checksum);
        }
        let least = headers_bytes.saturating_add(PRELUDE_BYTES + CRC_BYTES);
        if !(least..=FRAME_BYTES_MAX).contains(&total) {
            return Err(Malformed::Length);
        }
        let checked = total - CRC_BYTES;
        if u32_at(checked)? != crc32fast::hash(&bytes[..checked]) {
            return Err(Malformed::Checksum);
        }
        let payload = PRELUDE_BYTES + headers_bytes..checked;
        let headers = read_headers(bytes, PRELUDE_BYTES..payload.start)?;
        Ok((Frame { headers, payload: &bytes[payload] }, total))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(is, _)| *is == name).map(|(_, value)| *value)
    }
}

fn read_headers(bytes: &[u8], range: Range<usize>) -> Result<Vec<(&str, &str)>, Malformed> {
    let mut rest = &bytes[range];
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count).ok_or(Malformed::Header)?;
        rest = left;
        Ok((taken, left.is_empty()))
    };
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::Header);
    let mut headers = Vec::new();
    let mut is_end = take(0)?.1;
    while !is_end {
        let name = usize::from(take(1)?.0[0]);
        let name = text(take(name)?.0)?;
        if take(1)?.0[0] != TYPE_TEXT {
            return Err(Malformed::Header);
        }
        let value = take(2)?.0;
        let value = take(usize::from(value[0]) << 8 | usize::from(value[1]))?;
        is_end = value.1;
        headers.push((name, text(value.0)?));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by golden/event_stream.py, which knows the layout from its description, and has
    /// shown each frame to botocore.
    const GOLDEN: &str = include_str!("../../golden/event_stream.txt");

    fn golden(name: &str) -> Vec<u8> {
        let line = GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let line = line.unwrap().as_bytes();
        let pairs = line.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn frames_are_those_that_botocore_reads() {
        let mut out = BytesMut::new();
        put_initial_response(Encoding::Json, &mut out);
        assert_eq!(out.split(), golden("initial-response"));
        let payload = br#"{"Records":[],"MillisBehindLatest":0}"#;
        let event = "SubscribeToShardEvent";
        put_event(Encoding::Json, event, &mut out, |out| out.put_slice(payload));
        assert_eq!(out.split(), golden("event"));
        put_exception(Encoding::Json, "ResourceInUseException", "ä", &mut out);
        assert_eq!(out.split(), golden("exception"));
        put_frame(&[], &mut out, |_| ());
        assert_eq!(out.split(), golden("empty"));
    }

    #[test]
    fn a_frame_with_any_bit_changed_or_cut_off_is_refused() {
        let mut whole = BytesMut::new();
        put_initial_response(Encoding::Json, &mut whole);
        for len in 0..whole.len() {
            assert_eq!(Frame::read(&whole[..len]), Err(Malformed::Truncated), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::read(&changed).is_err(), "{bit}");
        }
    }

    #[test]
    fn what_is_checked_and_makes_no_sense_is_refused() {
        let sealed = |total: u32, headers: u32, rest: &[u8]| {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            bytes
        };
        let read = |bytes: &[u8]| Frame::read(bytes).map(|(_, bytes)| bytes);
        assert_eq!(read(&sealed(16, 0, b"")), Ok(16));
        assert_eq!(read(&sealed(15, 0, b"")), Err(Malformed::Length));
        assert_eq!(read(&sealed(16, 1, b"")), Err(Malformed::Length));
        assert_eq!(read(&sealed(0, u32::MAX, b"")), Err(Malformed::Length));
        assert_eq!(read(&sealed(u32::MAX, 0, b"")), Err(Malformed::Length));
        for header in
            [&b"\x02a"[..], b"\x01a", b"\x01a\x04", b"\x01a\x07\x00", b"\x01a\x07\x00\x01"]
        {
            let bytes = sealed(16 + header.len() as u32, header.len() as u32, header);
            assert_eq!(read(&bytes), Err(Malformed::Header));
        }
    }

    proptest! {
        #[test]
        fn a_frame_reads_back(
            headers in prop::collection::vec(("\\PC{0,60}", "\\PC{0,200}"), 0..5),
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let mut out = BytesMut::from(&b"before"[..]);
            put_frame(&headers, &mut out, |out| out.put_slice(&payload));
            let frame_bytes = out.len() - 6;
            out.put_slice(b"behind");
            let (frame, bytes) = Frame::read(&out[6..]).unwrap();
            prop_assert_eq!(bytes, frame_bytes);
            prop_assert_eq!(frame.headers, headers);
            prop_assert_eq!(frame.payload, payload);
        }
    }
}
