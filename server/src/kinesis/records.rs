//! Records as Kinesis delivers them, written straight from a page of the log.
//!
//! GetRecords and the events of SubscribeToShard hold the same list. It is the bulk of what either
//! sends, so it is not built as a value first: keys are copied and data is encoded from where the
//! log has them to where the reply is made.

use anabranch_engine::Page;
use anabranch_engine::record::EncodedRecord;
use bytes::{BufMut, BytesMut};

use super::value::{Encoding, Members};
use super::{base64, cbor, json};
use crate::aws::sequence::{DIGITS, Origin};
use crate::wire::records::{MalformedRecord, Records};

/// Bytes of a record in JSON beside its key and data, more or less.
const JSON_RECORD_BYTES: usize = 176;
/// The same in CBOR.
const CBOR_RECORD_BYTES: usize = 136;

/// Appends a structure whose member `Records` holds a page's records, and `rest` its others.
pub fn put_page(
    encoding: Encoding,
    page: &Page,
    origin: Origin,
    rest: &Members,
    out: &mut BytesMut,
) -> Result<(), MalformedRecord> {
    match encoding {
        Encoding::Json => {
            out.put_slice(b"{\"Records\":");
            put_json(page, origin, out)?;
            for (name, value) in rest.iter() {
                out.put_slice(b",\"");
                out.put_slice(name.as_bytes());
                out.put_slice(b"\":");
                json::write(value, out);
            }
            out.put_u8(b'}');
        }
        Encoding::Cbor => {
            put_cbor_head(Major::Map, rest.len() as u64 + 1, out);
            put_cbor_text("Records", out);
            put_cbor(page, origin, out)?;
            for (name, value) in rest.iter() {
                put_cbor_text(name, out);
                cbor::write(value, out);
            }
        }
    }
    Ok(())
}

/// Appends the list of a page's records in JSON: blobs in base64, times in seconds.
fn put_json(page: &Page, origin: Origin, out: &mut BytesMut) -> Result<(), MalformedRecord> {
    out.reserve(page.records * JSON_RECORD_BYTES + page.bytes.div_ceil(3) * 4);
    out.put_u8(b'[');
    for (index, record) in Records::new(&page.ranges).enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        let record = record?;
        put_json_record(&record, origin, out)?;
    }
    out.put_u8(b']');
    Ok(())
}

fn put_json_record(
    record: &EncodedRecord<'_>,
    origin: Origin,
    out: &mut BytesMut,
) -> Result<(), MalformedRecord> {
    out.put_slice(b"{\"SequenceNumber\":\"");
    out.put_slice(&digits(record, origin));
    out.put_slice(b"\",\"ApproximateArrivalTimestamp\":");
    put_json_time(record.arrival_ms, out);
    out.put_slice(b",\"Data\":\"");
    base64::append(record.data, out);
    out.put_u8(b'"');
    let key = key_of(record)?;
    if !key.is_empty() {
        out.put_slice(b",\"PartitionKey\":\"");
        put_json_text(key, out);
        out.put_u8(b'"');
    }
    out.put_u8(b'}');
    Ok(())
}

/// Appends the list of a page's records in CBOR: blobs as byte strings, times tagged and in whole
/// milliseconds.
fn put_cbor(page: &Page, origin: Origin, out: &mut BytesMut) -> Result<(), MalformedRecord> {
    out.reserve(page.records * CBOR_RECORD_BYTES + page.bytes);
    put_cbor_head(Major::Array, page.records as u64, out);
    for record in Records::new(&page.ranges) {
        let record = record?;
        let key = key_of(&record)?;
        put_cbor_head(Major::Map, if key.is_empty() { 3 } else { 4 }, out);
        put_cbor_text("SequenceNumber", out);
        put_cbor_head(Major::Text, DIGITS as u64, out);
        out.put_slice(&digits(&record, origin));
        put_cbor_text("ApproximateArrivalTimestamp", out);
        put_cbor_head(Major::Tag, CBOR_TAG_TIME, out);
        put_cbor_head(Major::Unsigned, record.arrival_ms, out);
        put_cbor_text("Data", out);
        put_cbor_head(Major::Bytes, record.data.len() as u64, out);
        out.put_slice(record.data);
        if !key.is_empty() {
            put_cbor_text("PartitionKey", out);
            put_cbor_text(key, out);
        }
    }
    Ok(())
}

fn digits(record: &EncodedRecord<'_>, origin: Origin) -> [u8; DIGITS] {
    origin.number(record.sequence, record.arrival_ms).digits()
}

fn key_of<'a>(record: &EncodedRecord<'a>) -> Result<&'a str, MalformedRecord> {
    std::str::from_utf8(record.key).map_err(|_| MalformedRecord)
}

/// Seconds since 1970 with three decimals: exact, which a float of them is not.
fn put_json_time(time_ms: u64, out: &mut BytesMut) {
    put_decimal(time_ms / 1000, out);
    let ms = (time_ms % 1000) as u16;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.put_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
}

/// Appends a number in decimal digits.
pub(super) fn put_decimal(mut value: u64, out: &mut BytesMut) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len() - 1;
    loop {
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
        start -= 1;
    }
    out.put_slice(&digits[start..]);
}

/// Appends a text as it stands between the quotes of a JSON string.
pub(super) fn put_json_text(text: &str, out: &mut BytesMut) {
    let mut rest = text.as_bytes();
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    while let Some(position) = rest.iter().position(is_special) {
        let (plain, special) = rest.split_at(position);
        out.put_slice(plain);
        match special[0] {
            quoted @ (b'"' | b'\\') => out.put_slice(&[b'\\', quoted]),
            control => {
                let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                out.put_slice(&[b'\\', b'u', b'0', b'0', hex(control >> 4), hex(control & 15)]);
            }
        }
        rest = &special[1..];
    }
    out.put_slice(rest);
}

/// The tag of a time.
const CBOR_TAG_TIME: u64 = 1;

/// What a CBOR item is.
#[derive(Clone, Copy)]
pub(super) enum Major {
    Unsigned = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
}

/// Appends the head of an item: what it is, and its value or length in as few bytes as hold it.
pub(super) fn put_cbor_head(major: Major, value: u64, out: &mut BytesMut) {
    let major = (major as u8) << 5;
    match value {
        0..24 => out.put_u8(major | value as u8),
        24..0x100 => out.put_slice(&[major | 0x18, value as u8]),
        0x100..0x1_0000 => {
            out.put_u8(major | 0x19);
            out.put_u16(value as u16);
        }
        0x1_0000..0x1_0000_0000 => {
            out.put_u8(major | 0x1a);
            out.put_u32(value as u32);
        }
        _ => {
            out.put_u8(major | 0x1b);
            out.put_u64(value);
        }
    }
}

/// Appends a text.
pub(super) fn put_cbor_text(text: &str, out: &mut BytesMut) {
    put_cbor_head(Major::Text, text.len() as u64, out);
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use anabranch_engine::ids::ShardId;
    use anabranch_engine::record::{PartitionKey, RecordView};
    use anabranch_engine::sequence::SequenceNumber;
    use proptest::prelude::*;

    use super::*;

    const ARRIVAL_MS: u64 = 1_700_000_000_007;

    fn page(records: &[(&str, &[u8])]) -> Page {
        let mut page = Page { records: records.len(), ..Page::default() };
        for (number, (key, data)) in (41..).zip(records) {
            let key = PartitionKey::from_bytes_or_none(key.as_bytes()).unwrap();
            let mut encoded = Vec::new();
            let record = RecordView::new(key, None, data).unwrap();
            record.encode(SequenceNumber(number), ARRIVAL_MS, &mut encoded);
            page.bytes += encoded.len();
            page.ranges.push(encoded.into());
        }
        page
    }

    fn origin() -> Origin {
        Origin::new(ShardId(3), 1_600_000_000_000)
    }

    #[test]
    fn records_are_written_in_json() {
        let mut out = BytesMut::new();
        let page = page(&[("key", b"\x00\xff"), ("", b""), ("a\"\\\n\u{1f}\u{7f}ä", b"abc")]);
        put_json(&page, origin(), &mut out).unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        let number = |number| origin().number(SequenceNumber(number), ARRIVAL_MS);
        let expected = format!(
            r#"[{{"SequenceNumber":"{}","ApproximateArrivalTimestamp":1700000000.007,"Data":"AP8=","PartitionKey":"key"}},{{"SequenceNumber":"{}","ApproximateArrivalTimestamp":1700000000.007,"Data":""}},{{"SequenceNumber":"{}","ApproximateArrivalTimestamp":1700000000.007,"Data":"YWJj","PartitionKey":"a\"\\\u000a\u001f{}ä"}}]"#,
            number(41),
            number(42),
            number(43),
            '\u{7f}'
        );
        assert_eq!(text, expected);
        out.clear();
        put_json(&Page::default(), origin(), &mut out).unwrap();
        assert_eq!(&out[..], b"[]");
    }

    #[test]
    fn records_are_written_in_cbor() {
        let mut out = BytesMut::new();
        put_cbor(&page(&[("key", b"\x00\xff"), ("", b"")]), origin(), &mut out).unwrap();
        let number = |number| origin().number(SequenceNumber(number), ARRIVAL_MS).digits();
        let mut expected = vec![0x82];
        for (map, number, data, key) in [
            (0xa4, number(41), &b"\x42\x00\xff"[..], &b"\x6cPartitionKey\x63key"[..]),
            (0xa3, number(42), b"\x40", b""),
        ] {
            expected.push(map);
            expected.extend_from_slice(b"\x6eSequenceNumber\x78\x38");
            expected.extend_from_slice(&number);
            expected.extend_from_slice(b"\x78\x1bApproximateArrivalTimestamp\xc1\x1b");
            expected.extend_from_slice(&ARRIVAL_MS.to_be_bytes());
            expected.extend_from_slice(b"\x64Data");
            expected.extend_from_slice(data);
            expected.extend_from_slice(key);
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn a_head_has_the_fewest_bytes_that_hold_its_value() {
        for (value, bytes) in [
            (23, &b"\x57"[..]),
            (24, b"\x58\x18"),
            (255, b"\x58\xff"),
            (256, b"\x59\x01\x00"),
            (65_536, b"\x5a\x00\x01\x00\x00"),
            (1 << 32, b"\x5b\x00\x00\x00\x01\x00\x00\x00\x00"),
        ] {
            let mut out = BytesMut::new();
            put_cbor_head(Major::Bytes, value, &mut out);
            assert_eq!(out, bytes);
        }
    }

    proptest! {
        /// A stranger's reader finds in the text what the records hold.
        #[test]
        fn a_reader_of_json_finds_the_records(
            records in prop::collection::vec(("\\PC{1,40}|[\\x00-\\x7f]{1,40}", prop::collection::vec(any::<u8>(), 0..100)), 0..5),
        ) {
            let views: Vec<_> = records.iter().map(|(key, data)| (&key[..], &data[..])).collect();
            let mut out = BytesMut::new();
            put_json(&page(&views), origin(), &mut out).unwrap();
            let read: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read.len(), records.len());
            for (number, (read, (key, data))) in (41..).zip(read.iter().zip(&records)) {
                let number = origin().number(SequenceNumber(number), ARRIVAL_MS).to_string();
                prop_assert_eq!(read["SequenceNumber"].as_str(), Some(&number[..]));
                prop_assert_eq!(read["PartitionKey"].as_str(), Some(&key[..]));
                let read_data = base64::decode(read["Data"].as_str().unwrap().as_bytes()).unwrap();
                prop_assert_eq!(&read_data, data);
            }
        }
    }
}
