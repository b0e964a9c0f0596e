//! Frames of event streams: what is written is read back as it was, by us and by a reader that
//! knows nothing but the rules; and of any bytes both say the same.
//!
//! ```text
//!   0 bytes            as they come
//!   1 bytes            with both checksums put right, so that what lies behind them is reached
//!   2 PLACE headers    a frame is made of these, read back, cut and changed at that place
//! ```

use anabranch_server::kinesis::event_stream::{
    FRAME_BYTES_MAX, Frame, Malformed, put_event, put_exception, put_frame, put_initial_response,
};
use anabranch_server::kinesis::value::Encoding;
use bytes::{BufMut, BytesMut};

use super::Input;

/// CRC-32 as zlib has it, a bit at a time: another one than the writer's.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// A frame by the rules: names, types and values of its headers, and the payload.
#[derive(PartialEq, Debug)]
struct Ruled<'a> {
    headers: Vec<(&'a [u8], u8, &'a [u8])>,
    payload: &'a [u8],
    bytes: usize,
}

fn split<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(front)
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Reads as the description of the format has it, with every type of value there is.
fn by_the_rules(data: &[u8]) -> Option<Ruled<'_>> {
    let bytes = be(data.get(..4)?);
    let headers_bytes = be(data.get(4..8)?);
    if be(data.get(8..12)?) != crc(&data[..8]) as usize || !(16..=FRAME_BYTES_MAX).contains(&bytes)
    {
        return None;
    }
    let frame = data.get(..bytes)?;
    let (checked, sum) = frame.split_at(bytes - 4);
    if be(sum) != crc(checked) as usize {
        return None;
    }
    let mut payload = &checked[12..];
    let mut rest = split(&mut payload, headers_bytes)?;
    let mut headers = Vec::new();
    while !rest.is_empty() {
        let name_bytes = be(split(&mut rest, 1)?);
        let name = split(&mut rest, name_bytes)?;
        let kind = split(&mut rest, 1)?[0];
        let len = match kind {
            0 | 1 => 0,
            2 => 1,
            3 => 2,
            4 => 4,
            5 | 8 => 8,
            6 | 7 => be(split(&mut rest, 2)?),
            9 => 16,
            _ => return None,
        };
        headers.push((name, kind, split(&mut rest, len)?));
    }
    Some(Ruled { headers, payload, bytes })
}

/// Both readers say the same, but that ours takes headers of text alone.
fn readers_agree(data: &[u8]) {
    let ruled = by_the_rules(data);
    match Frame::read(data) {
        Ok((frame, bytes)) => {
            let headers = frame.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_bytes(), 7, value.as_bytes()));
            let ours = Ruled { headers: headers.collect(), payload: frame.payload, bytes };
            assert!(bytes <= FRAME_BYTES_MAX);
            assert_eq!(Some(ours), ruled);
        }
        Err(Malformed::Header) => {
            let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
            let is_ours = |(name, kind, value): &(&[u8], u8, &[u8])| {
                *kind == 7 && is_text(name) && is_text(value)
            };
            assert!(ruled.is_none_or(|ruled| !ruled.headers.iter().all(is_ours)));
        }
        Err(error) => assert_eq!(ruled, None, "{error}"),
    }
}

/// Any bytes.
pub fn run(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => readers_agree(rest),
        1 => readers_agree(&sealed(rest)),
        _ => round_trip(rest),
    }
}

/// The bytes with the checksums that they should have.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 12 {
        let prelude = crc(&bytes[..8]);
        bytes[8..12].copy_from_slice(&prelude.to_be_bytes());
    }
    let end = be(bytes.get(..4).unwrap_or_default());
    if (16..=bytes.len()).contains(&end) {
        let sum = crc(&bytes[..end - 4]);
        bytes[end - 4..end].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn round_trip(data: &[u8]) {
    let mut input = Input::new(data);
    let place = input.number(3) as usize;
    let mut texts = Vec::new();
    for _ in 0..input.number(1) % 8 {
        let mut text = |width: usize| {
            let len = input.number(width) as usize;
            let mut text = String::from_utf8_lossy(input.bytes(len)).into_owned();
            // What is not UTF-8 has become longer than a length of so many bytes can say.
            text.truncate(text.floor_char_boundary((1 << (8 * width)) - 1));
            text
        };
        let name = text(1);
        let value = text(2);
        texts.push((name, value));
    }
    let headers: Vec<_> = texts.iter().map(|(name, value)| (&**name, &**value)).collect();
    let payload = input.rest;
    let mut out = BytesMut::new();
    put_frame(&headers, &mut out, |out| out.put_slice(payload));
    let frame_bytes = out.len();
    // What a server says around it is read one after the other.
    let encoding = if place.is_multiple_of(2) { Encoding::Json } else { Encoding::Cbor };
    put_initial_response(encoding, &mut out);
    put_event(encoding, "SubscribeToShardEvent", &mut out, |out| out.put_slice(payload));
    let message = String::from_utf8_lossy(payload);
    put_exception(encoding, "InternalFailureException", &message, &mut out);

    let mut rest = &out[..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        readers_agree(rest);
        let (frame, bytes) = Frame::read(rest).expect("it was written by us");
        frames.push(frame);
        rest = &rest[bytes..];
    }
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[0], Frame { headers, payload });
    assert_eq!(frames[1].header(":event-type"), Some("initial-response"));
    assert_eq!((frames[2].header(":message-type"), frames[2].payload), (Some("event"), payload));
    assert_eq!(frames[3].header(":exception-type"), Some("InternalFailureException"));
    if encoding == Encoding::Json {
        let told: serde_json::Value = serde_json::from_slice(frames[3].payload).expect("JSON");
        assert_eq!(told["message"].as_str(), Some(&*message));
    }

    let whole = &out[..frame_bytes];
    let at = place % frame_bytes;
    assert_eq!(Frame::read(&whole[..at]), Err(Malformed::Truncated), "{at}");
    let mut flipped = whole.to_vec();
    flipped[at] ^= 1 << (place >> 16 & 7);
    assert!(Frame::read(&flipped).is_err(), "{at}");
    readers_agree(&flipped);
}

/// Frames of a subscription as they are, some whose checksums are put right, and one to be made.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut out = BytesMut::new();
    put_initial_response(Encoding::Json, &mut out);
    let first = [&[0], &out[..]].concat();
    put_exception(Encoding::Cbor, "ResourceNotFoundException", "gone", &mut out);
    let two = [&[1], &out[..]].concat();
    // A header of every type.
    let mut typed = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (kind, value) in [
        (0, &b""[..]),
        (1, b""),
        (2, b"\x01"),
        (3, b"\x00\x01"),
        (4, b"\x00\x00\x00\x01"),
        (5, b"\x00\x00\x00\x00\x00\x00\x00\x01"),
        (6, b"\x00\x02\xff\xfe"),
        (7, b"\x00\x02hi"),
        (8, b"\x00\x00\x01\x8b\xcf\xe5\x68\x00"),
        (9, b"0123456789abcdef"),
    ] {
        typed.extend_from_slice(&[1, b'a' + kind, kind]);
        typed.extend_from_slice(value);
    }
    let headers_bytes = typed.len() - 13;
    typed.extend_from_slice(b"payload");
    typed.extend_from_slice(&[0; 4]);
    let total = typed.len() - 1;
    typed[4] = total as u8;
    typed[8] = headers_bytes as u8;
    // A frame that claims to be as large as a length can say.
    let huge = [&[1][..], &[0xff; 4], &[0; 12]].concat();
    let made =
        b"\x02\x05\x00\x00\x02\x0d:message-type\x05\x00event\x01a\x02\x00\xc3\xa4{}".to_vec();
    vec![first, two, typed, huge, made]
}
