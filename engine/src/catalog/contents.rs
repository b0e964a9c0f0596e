//! What the catalog holds, as the engine holds it in memory, and reading it in one pass.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use redb::{ReadableDatabase, ReadableTable};

use super::codec::{self, StreamValue};
use super::store::{Fault, Store};
use crate::clock::TimelineState;
use crate::hash_key::HashKeyRange;
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::log::header::ShardIdentity;
use crate::sequence::SequenceNumber;
use crate::settings::{AccountSettings, StreamSettings, Tags};

/// All of a catalog.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    /// The format version it is written in.
    pub format: u32,
    /// Whether the last run shut down, with the marks of all shards recorded.
    pub clean: bool,
    /// Whether the last run acknowledged records before they were synced.
    pub unsynced: bool,
    /// The secret that shard iterators are signed with. Never printed.
    pub iterator_key: [u8; 32],
    /// Above the id of every stream that ever was.
    pub next_stream_id: u64,
    /// Where the timeline of arrival stamps stands.
    pub timeline: TimelineState,
    /// The settings of the account.
    pub account: AccountSettings,
    /// The streams by id, tombstones among them.
    pub streams: Vec<StreamEntry>,
    /// The marks of the shards that have one.
    pub marks: BTreeMap<(StreamId, ShardId), ShardMark>,
}

impl Contents {
    /// The contents of a server that has never run, but for a secret of its own.
    pub fn empty(iterator_key: [u8; 32]) -> Contents {
        Contents {
            format: codec::FORMAT,
            clean: true,
            unsynced: false,
            iterator_key,
            next_stream_id: 1,
            timeline: TimelineState::default(),
            account: AccountSettings::default(),
            streams: Vec::new(),
            marks: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents")
            .field("format", &self.format)
            .field("clean", &self.clean)
            .field("unsynced", &self.unsynced)
            .field("next_stream_id", &self.next_stream_id)
            .field("timeline", &self.timeline)
            .field("account", &self.account)
            .field("streams", &self.streams)
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}

/// A stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamEntry {
    /// Its incarnation.
    pub id: StreamId,
    /// The name its user gave it.
    pub name: StreamName,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// For how long records are kept.
    pub retention_hours: u32,
    /// Whether it is a tombstone: its name is free, its files are being removed.
    pub is_deleting: bool,
    /// What is set on it.
    pub settings: StreamSettings,
    /// Its shards by id, closed ones among them.
    pub shards: Vec<ShardEntry>,
    /// Its registered consumers by name.
    pub consumers: Vec<ConsumerEntry>,
}

impl StreamEntry {
    /// How many of its shards have no parents: those it was made with, as long as they are there.
    pub(crate) fn first_shards(&self) -> u32 {
        self.shards.iter().filter(|shard| shard.parents == [None, None]).count() as u32
    }

    /// What the segments of one of its shards say about it; `first_shards` as above, counted once
    /// for all of them.
    pub(crate) fn identity(&self, shard: &ShardEntry, first_shards: u32) -> ShardIdentity {
        ShardIdentity {
            stream: self.id,
            stream_name: self.name.clone(),
            stream_created_ms: self.created_ms,
            retention_hours: self.retention_hours,
            stream_shards: first_shards,
            shard: shard.id,
            range: shard.range,
            parents: shard.parents,
            shard_created_ms: shard.created_ms,
            first_sequence: shard.first_sequence,
        }
    }
}

/// A shard of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardEntry {
    /// Its index in the stream.
    pub id: ShardId,
    /// The hash keys it owns.
    pub range: HashKeyRange,
    /// The shards it was split or merged from; the second one only after a merge.
    pub parents: [Option<ShardId>; 2],
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// The number of its first record, whether it has one yet or not.
    pub first_sequence: SequenceNumber,
    /// Where it ends, once it was split or merged.
    pub closed: Option<ShardClosed>,
    /// Whether it is a tombstone: its last record has expired, its files are being removed.
    pub is_removing: bool,
}

/// The end of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardClosed {
    /// When its children were made, milliseconds since 1970. All its records arrived before.
    pub at_ms: u64,
    /// The number of its last record, or the one before its first if it never had any.
    pub last_sequence: SequenceNumber,
}

/// A consumer registered for enhanced fan-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerEntry {
    /// Its name, one of a kind in its stream.
    pub name: ConsumerName,
    /// When it was registered, milliseconds since 1970.
    pub created_ms: u64,
    /// Its tags.
    pub tags: Tags,
    /// Its resource policy, if it has one.
    pub policy: Option<String>,
}

/// A lower bound of what is durable in a shard: where recovery starts to scan, and the trim
/// horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardMark {
    /// The base of the segment that holds the durable end.
    pub segment_base: SequenceNumber,
    /// The durable end in that segment, bytes from its start; or a [`Pin`].
    pub offset: u64,
    /// The number of the first record behind the durable end.
    pub next_sequence: SequenceNumber,
    /// The arrival stamp of the newest record before it, milliseconds since 1970.
    pub newest_arrival_ms: u64,
    /// The number of the oldest record that may be read.
    pub trim_horizon: SequenceNumber,
}

/// What a mark says that stands in no segment: the log has used up all numbers below the mark's,
/// and goes on in a segment that is not made yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pin {
    /// Below it no record is missing, however much lower the last frame ends.
    Gap,
    /// Between the last frame and it records are lost.
    Damage,
}

impl Pin {
    /// The offset that says so; no frame stands there. **Frozen.**
    pub(crate) fn offset(self) -> u64 {
        match self {
            Pin::Gap => 0,
            Pin::Damage => 1,
        }
    }
}

impl ShardMark {
    /// What the mark says if it stands in no segment yet.
    pub(crate) fn pin(&self) -> Option<Pin> {
        [Pin::Gap, Pin::Damage].into_iter().find(|pin| pin.offset() == self.offset)
    }

    /// The higher of two marks. The place of the durable end goes with its number; the
    /// horizon and the stamp rise by themselves.
    #[must_use]
    pub(super) fn risen(self, stored: ShardMark) -> ShardMark {
        let end = |mark: &ShardMark| (mark.next_sequence, mark.segment_base, mark.offset);
        let further = if end(&self) < end(&stored) { stored } else { self };
        ShardMark {
            newest_arrival_ms: self.newest_arrival_ms.max(stored.newest_arrival_ms),
            trim_horizon: self.trim_horizon.max(stored.trim_horizon),
            ..further
        }
    }
}

/// Reads a catalog: each table once, in the order of its keys.
pub(super) fn read(store: &Store) -> Result<Contents, Fault> {
    let transaction = store.database().begin_read()?;
    let meta = transaction.open_table(codec::META)?;
    let value = |key: &'static [u8]| {
        let text = String::from_utf8_lossy(key);
        let missing = || Fault::Unreadable(format!("{text} is missing from the table meta"));
        meta.get(key)?.ok_or_else(missing)
    };
    let format = codec::decode_format(value(codec::FORMAT_KEY)?.value())?;
    if format > codec::FORMAT {
        return Err(Fault::Newer(format));
    }
    let run = codec::decode_run(value(codec::RUN_KEY)?.value())?;
    let mut contents = Contents {
        format,
        clean: run.clean,
        unsynced: run.unsynced,
        iterator_key: codec::decode_iterator_key(value(codec::ITERATOR_KEY_KEY)?.value())?,
        next_stream_id: codec::decode_next_stream_id(value(codec::NEXT_STREAM_ID_KEY)?.value())?,
        timeline: codec::decode_timeline(value(codec::TIMELINE_KEY)?.value())?,
        account: match meta.get(codec::ACCOUNT_KEY)? {
            Some(value) => codec::decode_account(value.value())?,
            None => AccountSettings::default(),
        },
        streams: Vec::new(),
        marks: BTreeMap::new(),
    };

    for entry in transaction.open_table(codec::STREAMS)?.iter()? {
        let (key, value) = entry?;
        let id = codec::decode_stream_key(key.value())?;
        let StreamValue { name, created_ms, retention_hours, is_deleting, settings } =
            codec::decode_stream(value.value())?;
        contents.streams.push(StreamEntry {
            id,
            name,
            created_ms,
            retention_hours,
            is_deleting,
            settings,
            shards: Vec::new(),
            consumers: Vec::new(),
        });
    }
    check_streams(&contents)?;

    // The keys of all tables begin with the stream, so one walk along the streams finds the
    // owner of each entry.
    let mut owner = Owner::default();
    for entry in transaction.open_table(codec::SHARDS)?.iter()? {
        let (key, value) = entry?;
        let (stream, shard) = codec::decode_shard_key(key.value())?;
        let shard = codec::decode_shard(shard, value.value())?;
        owner.find(&mut contents.streams, stream)?.shards.push(shard);
    }
    let mut owner = Owner::default();
    for entry in transaction.open_table(codec::CONSUMERS)?.iter()? {
        let (key, value) = entry?;
        let (stream, name) = codec::decode_consumer_key(key.value())?;
        let consumer = codec::decode_consumer(name, value.value())?;
        let stream = owner.find(&mut contents.streams, stream)?;
        stream.consumers.push(consumer);
    }
    let mut owner = Owner::default();
    for entry in transaction.open_table(codec::MARKS)?.iter()? {
        let (key, value) = entry?;
        let (stream, shard) = codec::decode_shard_key(key.value())?;
        owner.find(&mut contents.streams, stream)?;
        let mark = codec::decode_mark(value.value())?;
        contents.marks.insert((stream, shard), mark);
    }
    Ok(contents)
}

fn check_streams(contents: &Contents) -> Result<(), Fault> {
    let mut names = HashSet::new();
    for stream in &contents.streams {
        if stream.id.0 >= contents.next_stream_id {
            let found = format!("stream {} was never handed out", stream.id);
            return Err(Fault::Unreadable(found));
        }
        if !stream.is_deleting && !names.insert(&stream.name) {
            let found = format!("there are two streams of the name {}", stream.name);
            return Err(Fault::Unreadable(found));
        }
    }
    Ok(())
}

/// A place in the list of streams that only moves forward.
#[derive(Default)]
struct Owner {
    index: usize,
}

impl Owner {
    fn find<'a>(
        &mut self,
        streams: &'a mut [StreamEntry],
        id: StreamId,
    ) -> Result<&'a mut StreamEntry, Fault> {
        while streams.get(self.index).is_some_and(|stream| stream.id < id) {
            self.index += 1;
        }
        let found = streams.get_mut(self.index).filter(|stream| stream.id == id);
        found.ok_or_else(|| Fault::Unreadable(format!("stream {id} is missing")))
    }
}
