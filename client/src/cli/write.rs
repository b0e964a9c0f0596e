//! How `tail` writes a record: raw, as JSON, as CSV, or in a format of the user's.

use std::io::{self, Write};

use anabranch_proto::v1;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::output::time;

/// How records are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// The data and one newline.
    Raw,
    /// An object per line, with `data`, or `data_base64` where that is not UTF-8.
    Ndjson,
    /// A row per record, under a header.
    Csv,
    /// As `-f` says.
    Pattern(Pattern),
}

/// A parsed `-f`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Literal(Vec<u8>),
    SequenceNumber,
    Key,
    Data,
    Shard,
    Time,
}

impl Pattern {
    /// Reads `%s` sequence number, `%k` key, `%v` data, `%S` shard, `%t` arrival time, `%%`,
    /// and the escapes `\n \t \r \0 \\`.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let piece = match char {
                '%' => match chars.next() {
                    Some('s') => Piece::SequenceNumber,
                    Some('k') => Piece::Key,
                    Some('v') => Piece::Data,
                    Some('S') => Piece::Shard,
                    Some('t') => Piece::Time,
                    Some('%') => {
                        literal.push(b'%');
                        continue;
                    }
                    other => return Err(unknown('%', other, "%s %k %v %S %t %%")),
                },
                '\\' => {
                    literal.push(match chars.next() {
                        Some('n') => b'\n',
                        Some('t') => b'\t',
                        Some('r') => b'\r',
                        Some('0') => 0,
                        Some('\\') => b'\\',
                        other => return Err(unknown('\\', other, "\\n \\t \\r \\0 \\\\")),
                    });
                    continue;
                }
                char => {
                    literal.extend(char.encode_utf8(&mut [0; 4]).bytes());
                    continue;
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Pattern(pieces))
    }

    fn write(&self, out: &mut impl Write, shard_id: &str, record: &v1::Record) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.write_all(bytes)?,
                Piece::SequenceNumber => write!(out, "{}", record.sequence_number)?,
                Piece::Key => out.write_all(record.partition_key.as_bytes())?,
                Piece::Data => out.write_all(&record.data)?,
                Piece::Shard => out.write_all(shard_id.as_bytes())?,
                Piece::Time => out.write_all(time(record.arrival_time_ms).as_bytes())?,
            }
        }
        Ok(())
    }
}

fn unknown(sign: char, letter: Option<char>, known: &str) -> String {
    match letter {
        Some(letter) => format!("{sign}{letter} means nothing; there are {known}"),
        None => format!("a {sign} at the end means nothing; there are {known}"),
    }
}

impl Layout {
    /// Writes what stands above all records.
    pub(super) fn write_header(&self, out: &mut impl Write) -> io::Result<()> {
        if *self == Layout::Csv {
            let header = [
                "shard_id",
                "sequence_number",
                "arrival_time",
                "partition_key",
                "data",
                "data_base64",
            ];
            write_row(out, &header)?;
        }
        Ok(())
    }

    /// Writes one record.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        stream_name: &str,
        shard_id: &str,
        record: &v1::Record,
    ) -> io::Result<()> {
        match self {
            Layout::Raw => {
                out.write_all(&record.data)?;
                out.write_all(b"\n")
            }
            Layout::Pattern(pattern) => pattern.write(out, shard_id, record),
            Layout::Ndjson => write_object(out, stream_name, shard_id, record),
            Layout::Csv => {
                let number = record.sequence_number.to_string();
                let time = time(record.arrival_time_ms);
                let (text, base64) = match std::str::from_utf8(&record.data) {
                    Ok(text) => (text, String::new()),
                    Err(_) => ("", STANDARD.encode(&record.data)),
                };
                write_row(out, &[shard_id, &number, &time, &record.partition_key, text, &base64])
            }
        }
    }
}

fn write_object(
    out: &mut impl Write,
    stream_name: &str,
    shard_id: &str,
    record: &v1::Record,
) -> io::Result<()> {
    let mut object = json!({
        "stream": stream_name,
        "shard_id": shard_id,
        "sequence_number": record.sequence_number,
        "arrival_time_ms": record.arrival_time_ms,
        "arrival_time": time(record.arrival_time_ms),
        "partition_key": record.partition_key,
    });
    match std::str::from_utf8(&record.data) {
        Ok(text) => object["data"] = text.into(),
        Err(_) => object["data_base64"] = STANDARD.encode(&record.data).into(),
    }
    serde_json::to_writer(&mut *out, &object)?;
    out.write_all(b"\n")
}

fn write_row(out: &mut impl Write, fields: &[&str]) -> io::Result<()> {
    let mut row = csv::WriterBuilder::new().from_writer(Vec::new());
    row.write_record(fields)?;
    let row = row.into_inner().map_err(csv::IntoInnerError::into_error)?;
    out.write_all(&row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: &Layout, data: &'static [u8]) -> String {
        let record = v1::Record {
            sequence_number: 7,
            arrival_time_ms: 1_700_000_000_123,
            partition_key: "k,1".to_owned(),
            data: data.into(),
        };
        let mut out = Vec::new();
        layout.write(&mut out, "s", "shardId-000000000002", &record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pattern_places_every_part_of_a_record() {
        let layout = |text| Layout::Pattern(Pattern::parse(text).unwrap());
        assert_eq!(written(&layout("%s %k %v\\n"), b"data"), "7 k,1 data\n");
        assert_eq!(
            written(&layout("ü%%\\t%S\\\\%t"), b""),
            "ü%\tshardId-000000000002\\2023-11-14T22:13:20.123Z"
        );
        assert_eq!(written(&layout(""), b"data"), "");
        for wrong in ["%", "%x", "\\", "\\q", "%v\\"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn raw_adds_one_newline_and_nothing_else() {
        assert_eq!(written(&Layout::Raw, b"a\r\0"), "a\r\0\n");
        assert_eq!(written(&Layout::Raw, b""), "\n");
    }

    #[test]
    fn json_has_text_or_base64() {
        let object = |data| -> serde_json::Value {
            serde_json::from_str(&written(&Layout::Ndjson, data)).unwrap()
        };
        let text = object("\"quoted\"\n".as_bytes());
        assert_eq!(text["data"], "\"quoted\"\n");
        assert_eq!(text["stream"], "s");
        assert_eq!(text["shard_id"], "shardId-000000000002");
        assert_eq!(text["sequence_number"], 7);
        assert_eq!(text["arrival_time_ms"], 1_700_000_000_123u64);
        assert_eq!(text["arrival_time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(text["partition_key"], "k,1");
        let binary = object(b"\xff");
        assert_eq!(binary["data_base64"], "/w==");
        assert!(binary.get("data").is_none());
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            written(&Layout::Csv, b"a \"b\""),
            "shardId-000000000002,7,2023-11-14T22:13:20.123Z,\"k,1\",\"a \"\"b\"\"\",\n"
        );
        assert!(written(&Layout::Csv, b"\xff").ends_with("\"k,1\",,/w==\n"));
        let mut header = Vec::new();
        Layout::Csv.write_header(&mut header).unwrap();
        assert!(header.starts_with(b"shard_id,sequence_number,"));
    }
}
