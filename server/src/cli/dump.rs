//! `dump SEGMENT`: one file, frame by frame.

use std::fmt::Write as _;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anabranch_client::cli::{Global, OutputFormat};
use anabranch_engine::fs::{Fs, ReadMode, RealFs};
use anabranch_engine::offline::{DumpItem, DumpedHeader, dump};
use anabranch_engine::sequence::SequenceNumber;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::{DAMAGE, FAILED, fail};

/// Bytes of a record's data that people are shown.
const EXCERPT_BYTES: usize = 60;

/// What is shown.
#[derive(Args)]
pub(crate) struct DumpArguments {
    /// The segment: a file such as DATA/shards/1/0/00000000000000000001.seg
    #[arg(value_name = "SEGMENT")]
    segment: PathBuf,

    /// Show the records of each frame, too
    #[arg(long)]
    records: bool,
}

pub(crate) fn run(arguments: &DumpArguments, global: &Global) -> u8 {
    let fs: Arc<dyn Fs> = Arc::new(RealFs::new(ReadMode::Pread));
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut written = Ok(());
    let (mut is_damaged, mut is_interrupted) = (false, false);
    let mut is_first = true;
    let dumped = dump(&fs, &arguments.segment, arguments.records, &mut |item| {
        // A place without a frame is the end, unless something follows it.
        is_damaged |= match &item {
            DumpItem::Frame(frame) => is_interrupted || !frame.is_payload_right,
            DumpItem::Footer(_) => is_interrupted,
            DumpItem::NoFrame { offset: 0, .. } => true,
            _ => false,
        };
        is_interrupted |= matches!(&item, DumpItem::NoFrame { .. });
        written = match global.output {
            OutputFormat::Table => out.write_all(words(&item).as_bytes()),
            OutputFormat::Ndjson => writeln!(out, "{}", object(&item)),
            OutputFormat::Json => {
                let before = if std::mem::take(&mut is_first) { "[" } else { "," };
                writeln!(out, "{before}{}", object(&item))
            }
        };
        written.is_ok()
    });
    if let Err(error) = dumped {
        return fail(FAILED, &error);
    }
    if written.is_ok() && global.output == OutputFormat::Json {
        written = out.write_all(b"]\n");
    }
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(FAILED, &error),
        _ if is_damaged => DAMAGE,
        _ => 0,
    }
}

fn words(item: &DumpItem<'_>) -> String {
    match item {
        DumpItem::Header(header) => header_words(header),
        DumpItem::Frame(frame) => {
            let flags = [
                (frame.follows_gap, "  after a gap"),
                (frame.is_lost, "  recorded as lost"),
                (!frame.is_payload_right, "  DAMAGED PAYLOAD"),
            ];
            let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
            format!(
                "{:>10}  {} to {}  {} records  {} bytes  arrived {} to {}  durable below {}{flags}\n",
                frame.offset,
                frame.first,
                frame.last,
                frame.count,
                frame.frame_bytes,
                frame.first_arrival_ms,
                frame.last_arrival_ms,
                frame.durable_below,
            )
        }
        DumpItem::Record(record) => format!(
            "            {}  arrived {}  key {}  {} bytes  {}\n",
            record.sequence,
            record.arrival_ms,
            String::from_utf8_lossy(record.key).escape_debug(),
            record.data.len(),
            excerpt(record.data),
        ),
        DumpItem::NoFrame { offset, found, bytes } => {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a string takes everything");
                hex
            });
            format!("{offset:>10}  no frame: {found}  {hex}\n")
        }
        DumpItem::Footer(footer) => {
            let entry = |(number, offset, arrival_ms): &(SequenceNumber, u64, u64)| {
                format!("{offset:>10}  {number}  arrived {arrival_ms}\n")
            };
            let entries: Vec<String> = footer.index.iter().map(entry).collect();
            format!(
                "footer: frames end at {}, next number {}, last arrival {}, {} index entries\n{}",
                footer.end,
                footer.next,
                footer.last_arrival_ms,
                footer.index.len(),
                entries.concat()
            )
        }
    }
}

fn header_words(header: &DumpedHeader) -> String {
    let parents: Vec<_> = header.parents.iter().flatten().map(ToString::to_string).collect();
    let parents = if parents.is_empty() { "none".to_owned() } else { parents.join(", ") };
    format!(
        "stream {} (id {}), {} shards, kept for {} h\n{}, hash keys {} to {}, parents {parents}, \
         first number {}\nsegment from {}, incarnation {:016x}, made {}, {} of {} bytes\n",
        header.stream_name,
        header.stream,
        header.stream_shards,
        header.retention_hours,
        header.shard,
        header.range.start,
        header.range.end,
        header.first_sequence,
        header.base,
        header.incarnation,
        header.created_ms,
        header.file_bytes,
        header.segment_bytes,
    )
}

/// The beginning of a record's data, printable whatever it is.
fn excerpt(data: &[u8]) -> String {
    let start = &data[..data.len().min(EXCERPT_BYTES)];
    let more = if data.len() > EXCERPT_BYTES { "..." } else { "" };
    format!("{}{more}", String::from_utf8_lossy(start).escape_debug())
}

fn object(item: &DumpItem<'_>) -> Value {
    match item {
        DumpItem::Header(header) => json!({
            "type": "header",
            "stream_name": header.stream_name.as_str(),
            "stream_id": header.stream.0,
            "stream_shards": header.stream_shards,
            "retention_period_hours": header.retention_hours,
            "shard_id": header.shard.to_string(),
            "starting_hash_key": header.range.start.to_string(),
            "ending_hash_key": header.range.end.to_string(),
            "parents": header.parents.iter().flatten().map(ToString::to_string).collect::<Vec<_>>(),
            "first_sequence_number": header.first_sequence.0,
            "base": header.base.0,
            "incarnation": format!("{:016x}", header.incarnation),
            "created_ms": header.created_ms,
            "segment_bytes": header.segment_bytes,
            "file_bytes": header.file_bytes,
        }),
        DumpItem::Frame(frame) => json!({
            "type": "frame",
            "offset": frame.offset,
            "first": frame.first.0,
            "last": frame.last.0,
            "count": frame.count,
            "bytes": frame.frame_bytes,
            "follows_gap": frame.follows_gap,
            "lost": frame.is_lost,
            "first_arrival_ms": frame.first_arrival_ms,
            "last_arrival_ms": frame.last_arrival_ms,
            "durable_below": frame.durable_below.0,
            "payload_right": frame.is_payload_right,
        }),
        DumpItem::Record(record) => {
            let mut object = json!({
                "type": "record",
                "sequence_number": record.sequence.0,
                "arrival_time_ms": record.arrival_ms,
                "partition_key": String::from_utf8_lossy(record.key),
            });
            match std::str::from_utf8(record.data) {
                Ok(text) => object["data"] = text.into(),
                Err(_) => object["data_base64"] = STANDARD.encode(record.data).into(),
            }
            object
        }
        DumpItem::NoFrame { offset, found, bytes } => json!({
            "type": "no_frame",
            "offset": offset,
            "found": found,
            "bytes_base64": STANDARD.encode(bytes),
        }),
        DumpItem::Footer(footer) => json!({
            "type": "footer",
            "end": footer.end,
            "next": footer.next.0,
            "last_arrival_ms": footer.last_arrival_ms,
            "index": footer.index.iter().map(|(number, offset, arrival_ms)| json!({
                "first": number.0,
                "offset": offset,
                "first_arrival_ms": arrival_ms,
            })).collect::<Vec<_>>(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_printable_whatever_the_data_is() {
        assert_eq!(excerpt(b"a\nb\0"), "a\\nb\\0");
        assert_eq!(excerpt(&[b'x'; 61]), format!("{}...", "x".repeat(60)));
        assert!(excerpt(&[0xff; 3]).chars().all(|char| !char.is_control()));
    }
}
