//! The reader against serde_json, and the writer against both.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::kinesis::value::{Members, Value};

/// The whole body, as serde_json has it.
fn tree(body: &[u8]) -> Result<Json, Malformed> {
    fn value(reader: &mut Reader<'_>, token: Token<'_>) -> Result<Json, Malformed> {
        Ok(match token {
            Token::Null => Json::Null,
            Token::Bool(flag) => flag.into(),
            Token::Int(number) => number.into(),
            Token::Float(number) => number.into(),
            Token::Text(text) => text.into_owned().into(),
            Token::ListStart => {
                let mut values = Vec::new();
                loop {
                    match reader.next()? {
                        Token::End => break values.into(),
                        token => values.push(value(reader, token)?),
                    }
                }
            }
            Token::MapStart => {
                let mut values = serde_json::Map::new();
                while let Token::Text(key) = reader.next()? {
                    let token = reader.next()?;
                    values.insert(key.into_owned(), value(reader, token)?);
                }
                values.into()
            }
            token => panic!("{token:?} begins no value"),
        })
    }
    let mut reader = Reader::new(body)?;
    let token = reader.next()?;
    let tree = value(&mut reader, token)?;
    if reader.is_done() { Ok(tree) } else { Err(Malformed) }
}

/// Both take the same texts and find the same in them. Numbers beyond 64 bits are not compared.
fn compare(text: &str) {
    let theirs: Result<Json, _> = serde_json::from_str(text);
    let is_deep = text.matches(['[', '{']).count() > DEPTH_MAX;
    match (tree(text.as_bytes()), theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.to_string().len(), theirs.to_string().len(), "{text}");
            assert_eq!(ours, theirs, "{text}");
        }
        (Err(_), Err(_)) => {}
        (Err(_), Ok(_)) if is_deep => {}
        // A number that is too large for a double is none for serde_json.
        (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
        (ours, theirs) => panic!("{text}: {ours:?}, serde_json {theirs:?}"),
    }
}

#[test]
fn the_reader_takes_what_serde_json_takes() {
    for text in [
        "",
        " ",
        "{}",
        "[]",
        " { } ",
        "[ ]",
        "null",
        "nul",
        "true",
        "false",
        "truee",
        "0",
        "-0",
        "01",
        "-",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1E+5",
        "1e",
        "1e+",
        "-12",
        "9223372036854775807",
        "\"\"",
        "\"a",
        "\"a\nb\"",
        "\"\\n\\t\\b\\f\\r\\/\\\\\\\"\"",
        "\"\\x\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",
        "\"\\u12\"",
        "\"a\\u0000b\"",
        "\"\\",
        "\"é\"",
        "[1,2]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{1:2}",
        "[[],{},[{\"a\":[null]}]]",
        "{}{}",
        "[]]",
        "{]",
        "[}",
        "\u{feff}{}",
        "[\"a\\\\\",\"\\\\\"]",
    ] {
        compare(text);
    }
    assert_eq!(tree(b"\"\xff\""), Err(Malformed));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(tree(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(tree(nested(DEPTH_MAX + 1).as_bytes()), Err(Malformed));
    let mut reader = Reader::new(b"[").unwrap();
    assert_eq!(reader.next(), Ok(Token::ListStart));
    assert_eq!(reader.next(), Err(Malformed));
    let bomb = "[".repeat(1 << 20);
    assert_eq!(tree(bomb.as_bytes()), Err(Malformed));
}

#[test]
fn text_without_escapes_is_borrowed() {
    let body = br#"["plain", "es\"caped"]"#;
    let mut reader = Reader::new(body).unwrap();
    reader.next().unwrap();
    assert!(matches!(reader.next(), Ok(Token::Text(Cow::Borrowed("plain")))));
    assert!(matches!(reader.next(), Ok(Token::Text(Cow::Owned(_)))));
}

#[test]
fn what_is_not_wanted_is_skipped() {
    let mut reader = Reader::new(br#"{"a": [1, {"b": []}], "c": 2}"#).unwrap();
    assert_eq!(reader.next(), Ok(Token::MapStart));
    assert_eq!(reader.next(), Ok(Token::Text("a".into())));
    let token = reader.next().unwrap();
    reader.skip(&token).unwrap();
    assert_eq!(reader.next(), Ok(Token::Text("c".into())));
}

fn written(value: impl Into<Value>) -> String {
    let mut out = BytesMut::new();
    write(&value.into(), &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn values_are_written_as_the_service_does() {
    for (time_ms, text) in [
        (1_767_225_600_123, "1767225600.123"),
        (1_767_225_600_120, "1767225600.12"),
        (1_767_225_600_003, "1767225600.003"),
        (1_767_225_600_000, "1767225600"),
        (0, "0"),
        (-1500, "-1.5"),
        (i64::MIN, "-9223372036854775.808"),
    ] {
        assert_eq!(written(Value::Time(time_ms)), text);
    }
    assert_eq!(written(i64::MIN), i64::MIN.to_string());
    assert_eq!(written(i64::MAX), i64::MAX.to_string());
    assert_eq!(written(0), "0");
    assert_eq!(written(1.5), "1.5");
    assert_eq!(written(f64::NAN), "null");
    assert_eq!(written(Bytes::from_static(b"hi")), "\"aGk=\"");
    let members = Members::new().with("Tags", vec!["a", "b"]).with("HasMoreTags", false);
    assert_eq!(written(members), r#"{"Tags":["a","b"],"HasMoreTags":false}"#);
    assert_eq!(written(Members::new()), "{}");
}

proptest! {
    #[test]
    fn any_text_is_written_so_that_serde_json_reads_it(text in any::<String>()) {
        let written = written(text.as_str());
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
        prop_assert_eq!(tree(written.as_bytes()), Ok(Json::from(text)));
    }

    #[test]
    fn texts_like_json_are_taken_as_serde_json_takes_them(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\\", "\\u", "d83d", "1", "-", ".", "e",
                "null", "true", " ", "\n", "é", "0",
            ]),
            0..12,
        ),
    ) {
        compare(&parts.concat());
    }
}
