//! The reader against bytes that SDKs send, and against the writer.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::kinesis::value::Members;

fn tokens(body: &[u8]) -> Result<Vec<Token<'_>>, Malformed> {
    let mut reader = Reader::new(body);
    let mut tokens = Vec::new();
    loop {
        tokens.push(reader.next()?);
        if reader.open.is_empty() {
            return if reader.is_done() { Ok(tokens) } else { Err(Malformed) };
        }
    }
}

fn one(body: &[u8]) -> Result<Token<'_>, Malformed> {
    tokens(body).map(|mut tokens| tokens.remove(0))
}

#[test]
fn times_are_milliseconds_whether_whole_or_not() {
    let whole = b"\xc1\x1b\x00\x00\x01\x9b\x76\xda\xc8\x7b";
    assert_eq!(one(whole), Ok(Token::Time(0x0000_019b_76da_c87b)));
    let mut seconds = vec![0xc1, 0xfb];
    seconds.extend_from_slice(&1_767_225_600.123f64.to_be_bytes());
    assert_eq!(one(&seconds), Ok(Token::Time(1_767_225_600_123)));
    let mut seconds = vec![0xc1, 0xfa];
    seconds.extend_from_slice(&1.5f32.to_be_bytes());
    assert_eq!(one(&seconds), Ok(Token::Time(1500)));
}

#[test]
fn every_kind_of_item_is_taken() {
    for (body, token) in [
        (&b"\xf6"[..], Token::Null),
        (b"\xf7", Token::Null),
        (b"\xf4", Token::Bool(false)),
        (b"\x18\xff", Token::Int(255)),
        (b"\x39\x01\x00", Token::Int(-257)),
        (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Token::Float(18_446_744_073_709_551_615.0)),
        (b"\xf9\x3e\x00", Token::Float(1.5)),
        (b"\xf9\x00\x01", Token::Float(5.960_464_477_539_063e-8)),
        (b"\xf9\xfc\x00", Token::Float(f64::NEG_INFINITY)),
        (b"\x62hi", Token::Text("hi".into())),
        (b"\x7f\x61h\x60\x61i\xff", Token::Text("hi".into())),
        (b"\x42\x00\xff", Token::Bytes(Cow::Borrowed(b"\x00\xff"))),
        (b"\x5f\x41\x00\x41\xff\xff", Token::Bytes(Cow::Borrowed(b"\x00\xff"))),
        // The tag that says "this is CBOR", and one in another.
        (b"\xd9\xd9\xf7\x01", Token::Int(1)),
        (b"\xd9\xd9\xf7\xc1\x01", Token::Time(1)),
    ] {
        assert_eq!(one(body), Ok(token), "{body:?}");
    }
    let map = [
        Token::MapStart,
        Token::Text("a".into()),
        Token::ListStart,
        Token::Int(1),
        Token::End,
        Token::End,
    ];
    for body in
        [&b"\xa1\x61a\x81\x01"[..], b"\xbf\x61a\x9f\x01\xff\xff", b"\xbf\x7f\x61a\xff\x81\x01\xff"]
    {
        assert_eq!(tokens(body), Ok(map.to_vec()), "{body:?}");
    }
}

#[test]
fn what_claims_too_much_or_makes_no_sense_is_malformed() {
    for body in [
        &b""[..],
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7a\xff\xff\xff\xff",
        b"\xa1\x61a",
        b"\xa1\x01\x01",
        b"\xa1\x41a\x01",
        b"\xbf\x61a\xff",
        b"\x81",
        b"\x81\xff",
        b"\xff",
        b"\x1c",
        b"\x62\xff\xff",
        b"\x7f\x41a\xff",
        b"\xc1",
        b"\xf9\x00",
        b"\x01\x01",
        b"\x9f\x01",
    ] {
        assert_eq!(tokens(body), Err(Malformed), "{body:?}");
    }
    let nested = |depth: usize| [vec![0x81; depth], vec![0x01]].concat();
    assert!(tokens(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(tokens(&nested(DEPTH_MAX + 1)), Err(Malformed));
    assert_eq!(tokens(&vec![0x9f; 1 << 20]), Err(Malformed));
    // A million tags are passed over one by one.
    assert_eq!(tokens(&vec![0xc6; 1 << 20]), Err(Malformed));
}

#[test]
fn values_are_written_with_definite_lengths() {
    let members = Members::new()
        .with("a", Value::Time(1000))
        .with("b", Bytes::from_static(b"\xff"))
        .with("c", vec![true, false])
        .with("d", -1)
        .with("e", 1.5);
    let mut out = BytesMut::new();
    write(&Value::Map(members), &mut out);
    let expected = b"\xa5\x61a\xc1\x19\x03\xe8\x61b\x41\xff\x61c\x82\xf5\xf4\x61d\x20\x61e\
                     \xfb\x3f\xf8\x00\x00\x00\x00\x00\x00";
    assert_eq!(out[..], expected[..]);
}

proptest! {
    #[test]
    fn any_bytes_are_tokens_or_malformed(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(tokens) = tokens(&body) {
            prop_assert!(tokens.len() <= 2 * body.len());
        }
    }
}
