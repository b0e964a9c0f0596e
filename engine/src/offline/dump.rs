//! One segment, frame by frame, whatever is wrong with it. Takes no lock and changes nothing.

use std::path::Path;
use std::sync::Arc;

use crate::error::{IoContext, Result};
use crate::fs::{Access, Fs};
use crate::hash_key::HashKeyRange;
use crate::ids::{ShardId, StreamId, StreamName};
use crate::log::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Fault, FrameHeader};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::footer_bytes;
use crate::log::scan::{Found, Scanner};
use crate::log::segment::read_footer;
use crate::record::EncodedRecord;
use crate::sequence::SequenceNumber;

/// What a segment says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpedHeader {
    /// The stream's incarnation.
    pub stream: StreamId,
    /// The stream's name.
    pub stream_name: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// The shard's part of the hash space.
    pub range: HashKeyRange,
    /// The shards it came from.
    pub parents: [Option<ShardId>; 2],
    /// The number of the shard's first record.
    pub first_sequence: SequenceNumber,
    /// Hours that the stream kept its records when the segment was made.
    pub retention_hours: u32,
    /// Shards of the stream when the segment was made.
    pub stream_shards: u32,
    /// No record of the segment has a lower number.
    pub base: SequenceNumber,
    /// Part of every checksum of the file.
    pub incarnation: u64,
    /// When the segment was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Bytes that the file was made with.
    pub segment_bytes: u64,
    /// Bytes that it has.
    pub file_bytes: u64,
}

/// A frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpedFrame {
    /// Where it stands.
    pub offset: u64,
    /// The number of its first record.
    pub first: SequenceNumber,
    /// The number of its last record.
    pub last: SequenceNumber,
    /// Its records.
    pub count: u32,
    /// All its bytes, header and alignment included.
    pub frame_bytes: u64,
    /// Numbers before it were skipped on purpose.
    pub follows_gap: bool,
    /// It stands for lost numbers and holds no records.
    pub is_lost: bool,
    /// When its first record arrived, milliseconds since 1970.
    pub first_arrival_ms: u64,
    /// When its last record arrived, milliseconds since 1970.
    pub last_arrival_ms: u64,
    /// The first number not known to be durable when it was built.
    pub durable_below: SequenceNumber,
    /// Whether the payload matches its checksum. (The header's was right, or it were no frame.)
    pub is_payload_right: bool,
}

/// A record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DumpedRecord<'a> {
    /// Its number.
    pub sequence: SequenceNumber,
    /// When it arrived, milliseconds since 1970.
    pub arrival_ms: u64,
    /// Its partition key.
    pub key: &'a [u8],
    /// Its payload.
    pub data: &'a [u8],
}

/// What a sealed segment's footer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpedFooter {
    /// Where the last frame ends.
    pub end: u64,
    /// The number behind the last record.
    pub next: SequenceNumber,
    /// When the last record arrived, milliseconds since 1970.
    pub last_arrival_ms: u64,
    /// The sparse index: number, offset and arrival time of a frame.
    pub index: Vec<(SequenceNumber, u64, u64)>,
}

/// A part of a segment, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DumpItem<'a> {
    /// First of all.
    Header(DumpedHeader),
    /// A frame with a valid header.
    Frame(DumpedFrame),
    /// A record of the frame before, if records are asked for.
    Record(DumpedRecord<'a>),
    /// No frame stands here. Where the file is whole, it is what follows the last frame.
    NoFrame {
        /// Where.
        offset: u64,
        /// What stands there.
        found: &'static str,
        /// The first bytes of it.
        bytes: Vec<u8>,
    },
    /// The footer, if there is a valid one.
    Footer(DumpedFooter),
}

/// Hands each part of the segment at `path` to `sink`, until it returns false. Where a frame is
/// not valid, that is said, and the walk goes on at the next valid one.
pub fn dump(
    fs: &Arc<dyn Fs>,
    path: &Path,
    with_records: bool,
    sink: &mut dyn FnMut(DumpItem<'_>) -> bool,
) -> Result<()> {
    let file = fs.open(path, Access::Read).at("open", path, None)?;
    let file_bytes = file.len().at("stat", path, None)?;
    let Some(header) = SegmentHeader::read(file.as_ref(), path)? else {
        let mut bytes = vec![0; file_bytes.min(16) as usize];
        file.read_at(0, &mut bytes).at("read", path, 0)?;
        let found = "no valid segment header; without it no frame can be checked";
        sink(DumpItem::NoFrame { offset: 0, found, bytes });
        return Ok(());
    };
    if !sink(DumpItem::Header(dumped_header(&header, file_bytes))) {
        return Ok(());
    }
    let area_end = header.segment_bytes.saturating_sub(footer_bytes(header.segment_bytes));
    let footer = read_footer(file.as_ref(), &header);
    let end = footer.as_ref().map_or(area_end, |footer| footer.end.min(area_end));
    let owner = header.owner();
    let mut scanner = Scanner::new(file.as_ref(), owner, end).at("read", path, None)?;
    let (mut at, mut expected) = (FRAMES_START, header.base);
    loop {
        let found = scanner.at(at, expected).at("read", path, at)?;
        let (frame, fault) = match found {
            Found::Full => break,
            Found::Frame(frame) => (Some(frame), None),
            Found::Fault(Fault::PayloadCrc, frame) => (frame, Some(Fault::PayloadCrc)),
            Found::Fault(fault, _) => (None, Some(fault)),
        };
        if let Some(frame) = frame {
            if !sink(DumpItem::Frame(dumped_frame(at, &frame, fault.is_none()))) {
                return Ok(());
            }
            if with_records && fault.is_none() && !frame.is_lost() {
                let payload = scanner
                    .bytes(at + FRAME_HEADER_BYTES as u64, frame.payload_bytes as usize)
                    .at("read", path, at)?;
                if !dump_records(payload.unwrap_or_default(), sink) {
                    return Ok(());
                }
            }
            at += frame.frame_bytes();
            expected = frame.next();
            continue;
        }
        let found = fault.map_or("", Fault::describe);
        let len = file_bytes.saturating_sub(at).min(16) as usize;
        let bytes = match fault {
            Some(Fault::Unreadable) => Vec::new(),
            _ => scanner.bytes(at, len).at("read", path, at)?.unwrap_or_default().to_vec(),
        };
        if !sink(DumpItem::NoFrame { offset: at, found, bytes }) {
            return Ok(());
        }
        let mut from = at;
        let resume = loop {
            match scanner.successor(from, expected).at("read", path, from)? {
                Some((resume, _)) => break Some(resume),
                None => from += FRAME_BYTES_MAX,
            }
            if from >= end {
                break None;
            }
        };
        let Some(resume) = resume else { break };
        at = resume;
    }
    if let Some(footer) = footer {
        let entry = |entry: &crate::log::index::IndexEntry| {
            (entry.base, entry.offset, entry.first_arrival_ms)
        };
        sink(DumpItem::Footer(DumpedFooter {
            end: footer.end,
            next: footer.next,
            last_arrival_ms: footer.last_arrival_ms,
            index: footer.index.entries().iter().map(entry).collect(),
        }));
    }
    Ok(())
}

fn dump_records(payload: &[u8], sink: &mut dyn FnMut(DumpItem<'_>) -> bool) -> bool {
    let mut rest = payload;
    while let Some(record) = EncodedRecord::decode(rest) {
        let item = DumpedRecord {
            sequence: record.sequence,
            arrival_ms: record.arrival_ms,
            key: record.key,
            data: record.data,
        };
        if !sink(DumpItem::Record(item)) {
            return false;
        }
        rest = &rest[record.entry_bytes..];
    }
    true
}

fn dumped_header(header: &SegmentHeader, file_bytes: u64) -> DumpedHeader {
    let identity = &header.identity;
    DumpedHeader {
        stream: identity.stream,
        stream_name: identity.stream_name.clone(),
        shard: identity.shard,
        range: identity.range,
        parents: identity.parents,
        first_sequence: identity.first_sequence,
        retention_hours: identity.retention_hours,
        stream_shards: identity.stream_shards,
        base: header.base,
        incarnation: header.incarnation.0,
        created_ms: header.created_ms,
        segment_bytes: header.segment_bytes,
        file_bytes,
    }
}

fn dumped_frame(offset: u64, frame: &FrameHeader, is_payload_right: bool) -> DumpedFrame {
    DumpedFrame {
        offset,
        first: frame.base,
        last: frame.base.plus(u64::from(frame.count) - 1),
        count: frame.count,
        frame_bytes: frame.frame_bytes(),
        follows_gap: frame.follows_gap(),
        is_lost: frame.is_lost(),
        first_arrival_ms: frame.first_arrival_ms,
        last_arrival_ms: frame.last_arrival_ms,
        durable_below: frame.durable_below,
        is_payload_right,
    }
}
