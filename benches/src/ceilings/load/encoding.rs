//! The two encodings of the Kinesis API, as far as a load needs them: it writes requests, a server
//! that does nothing writes answers, and neither reads more than a byte search finds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// How far from either end of an answer its iterator begins: it has 512 characters at most, and
/// stands before the records or behind them.
const EDGE_BYTES: usize = 1024;

/// How bodies are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Encoding {
    Json,
    Cbor,
}

/// A value to be written.
#[derive(Clone, Debug)]
pub(in super::super) enum Value {
    /// Without anything that JSON would have to escape.
    Text(String),
    Bytes(Vec<u8>),
    Count(u64),
    /// Milliseconds since 1970.
    Time(u64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// What begins a value of CBOR.
mod major {
    pub(super) const COUNT: u8 = 0 << 5;
    pub(super) const BYTES: u8 = 2 << 5;
    pub(super) const TEXT: u8 = 3 << 5;
    pub(super) const LIST: u8 = 4 << 5;
    pub(super) const MAP: u8 = 5 << 5;
    pub(super) const TAG: u8 = 6 << 5;
}

impl Encoding {
    /// By the name of its content type.
    pub(in super::super) fn of(content_type: &str) -> Option<Encoding> {
        [Encoding::Json, Encoding::Cbor].into_iter().find(|it| it.content_type() == content_type)
    }

    pub(in super::super) fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/x-amz-json-1.1",
            Encoding::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    pub(in super::super) fn write(self, value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Encoding::Json => write_json(value, &mut bytes),
            Encoding::Cbor => write_cbor(value, &mut bytes),
        }
        bytes
    }

    /// Whether an answer to PutRecords says that every record was put.
    pub(in super::super) fn has_put_all(self, answer: &[u8]) -> bool {
        let none_failed: &[u8] = match self {
            Encoding::Json => b"\"FailedRecordCount\":0",
            Encoding::Cbor => b"\x71FailedRecordCount\x00",
        };
        memmem::find(answer, none_failed).is_some()
    }

    /// The text of a member that stands near the beginning or the end of an answer.
    pub(super) fn text(self, answer: &[u8], name: &str) -> Option<String> {
        let mut key = Vec::new();
        match self {
            Encoding::Json => {
                write_json(&Value::Text(name.to_owned()), &mut key);
                key.push(b':');
            }
            Encoding::Cbor => write_cbor(&Value::Text(name.to_owned()), &mut key),
        }
        let edges = [0, answer.len().saturating_sub(EDGE_BYTES)];
        let behind = edges.into_iter().find_map(|edge| {
            let edge_bytes = answer[edge..].len().min(EDGE_BYTES);
            let at = memmem::find(&answer[edge..][..edge_bytes], &key)?;
            Some(&answer[edge + at + key.len()..])
        })?;
        let text = match (self, behind) {
            (Encoding::Json, [b'"', text @ ..]) => text.split(|&byte| byte == b'"').next()?,
            (Encoding::Cbor, [head @ 0x60..0x78, text @ ..]) => {
                text.get(..usize::from(head - 0x60))?
            }
            (Encoding::Cbor, [0x78, length, text @ ..]) => text.get(..usize::from(*length))?,
            (Encoding::Cbor, [0x79, high, low, text @ ..]) => {
                text.get(..usize::from(u16::from_be_bytes([*high, *low])))?
            }
            _ => return None,
        };
        String::from_utf8(text.to_vec()).ok()
    }
}

/// How many records an answer or an event has, in either encoding: each has a key, and nothing
/// else in there has this name in it.
pub(super) fn records(body: &[u8]) -> usize {
    memmem::find_iter(body, b"PartitionKey").count()
}

fn write_json(value: &Value, bytes: &mut Vec<u8>) {
    let mut list = |begin, end, parts: Vec<Vec<u8>>| {
        bytes.push(begin);
        bytes.extend_from_slice(&parts.join(&b','));
        bytes.push(end);
    };
    match value {
        Value::Text(text) => bytes.extend_from_slice(format!("\"{text}\"").as_bytes()),
        Value::Bytes(data) => {
            bytes.extend_from_slice(format!("\"{}\"", STANDARD.encode(data)).as_bytes());
        }
        Value::Count(count) => bytes.extend_from_slice(count.to_string().as_bytes()),
        Value::Time(ms) => {
            bytes.extend_from_slice(format!("{}.{:03}", ms / 1000, ms % 1000).as_bytes());
        }
        Value::List(values) => {
            list(b'[', b']', values.iter().map(|value| Encoding::Json.write(value)).collect());
        }
        Value::Map(members) => {
            let member = |(name, value): &(&str, Value)| {
                let mut member = format!("\"{name}\":").into_bytes();
                write_json(value, &mut member);
                member
            };
            list(b'{', b'}', members.iter().map(member).collect());
        }
    }
}

fn write_cbor(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            cbor_head(major::TEXT, text.len() as u64, bytes);
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Bytes(data) => {
            cbor_head(major::BYTES, data.len() as u64, bytes);
            bytes.extend_from_slice(data);
        }
        Value::Count(count) => cbor_head(major::COUNT, *count, bytes),
        Value::Time(ms) => {
            // Tag 1: a time.
            cbor_head(major::TAG, 1, bytes);
            cbor_head(major::COUNT, *ms, bytes);
        }
        Value::List(values) => {
            cbor_head(major::LIST, values.len() as u64, bytes);
            for value in values {
                write_cbor(value, bytes);
            }
        }
        Value::Map(members) => {
            cbor_head(major::MAP, members.len() as u64, bytes);
            for (name, value) in members {
                write_cbor(&Value::Text((*name).to_owned()), bytes);
                write_cbor(value, bytes);
            }
        }
    }
}

/// The kind of a value, and its number or length in as few bytes as it takes.
fn cbor_head(major: u8, number: u64, bytes: &mut Vec<u8>) {
    match number {
        0..0x18 => bytes.push(major | number as u8),
        0x18..0x100 => bytes.extend_from_slice(&[major | 0x18, number as u8]),
        0x100..0x1_0000 => {
            bytes.push(major | 0x19);
            bytes.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            bytes.push(major | 0x1a);
            bytes.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            bytes.push(major | 0x1b);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(iterator: &str) -> Value {
        let record = Value::Map(vec![
            ("Data", Value::Bytes(vec![b'x'; 300])),
            ("PartitionKey", Value::Text("k".to_owned())),
            ("ApproximateArrivalTimestamp", Value::Time(1_700_000_000_012)),
        ]);
        Value::Map(vec![
            ("Records", Value::List(vec![record; 30])),
            ("NextShardIterator", Value::Text(iterator.to_owned())),
            ("FailedRecordCount", Value::Count(0)),
        ])
    }

    #[test]
    fn what_is_written_is_found_again() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            for length in [1, 23, 24, 255, 256, 512] {
                let iterator = "i".repeat(length);
                let answer = encoding.write(&page(&iterator));
                assert_eq!(encoding.text(&answer, "NextShardIterator"), Some(iterator));
                assert_eq!(records(&answer), 30);
                assert!(encoding.has_put_all(&answer));
            }
            let failed = Value::Map(vec![("FailedRecordCount", Value::Count(1))]);
            assert!(!encoding.has_put_all(&encoding.write(&failed)));
        }
    }

    #[test]
    fn both_encodings_are_written_as_their_standards_say() {
        let value = Value::Map(vec![
            ("a", Value::List(vec![Value::Count(500), Value::Bytes(b"xx".to_vec())])),
            ("t", Value::Time(1_007)),
        ]);
        assert_eq!(Encoding::Json.write(&value), br#"{"a":[500,"eHg="],"t":1.007}"#);
        assert_eq!(
            Encoding::Cbor.write(&value),
            b"\xa2\x61a\x82\x19\x01\xf4\x42xx\x61t\xc1\x19\x03\xef"
        );
    }
}
