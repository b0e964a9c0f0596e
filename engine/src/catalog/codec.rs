//! The catalog's bytes: table names, keys and values. **Frozen**; `engine/FORMAT.md` repeats
//! this page, and a change needs a new version byte there and here.
//!
//! `catalog.redb` is a redb file (format version 3, 4 KiB pages) of five tables, all of which
//! map bytes to bytes. Keys are big endian, so that the order of bytes is the order of
//! numbers; values are little endian and begin with a version byte, but for `format`, which
//! has none and never will. It is 2 in the values of `streams` and `consumers`, which may still
//! be of version 1, and 1 in all others. A table or a `meta` key that is not listed here is
//! left alone.
//!
//! | table       | key                                 | value                                  |
//! |-------------|-------------------------------------|----------------------------------------|
//! | `meta`      | `format`                            | u32 format version of the catalog, 2   |
//! |             | `run`                               | version, u8 clean, u8 unsynced         |
//! |             | `iterator_key`                      | version, 32 random bytes, secret       |
//! |             | `next_stream_id`                    | version, u64                           |
//! |             | `timeline`                          | version, timeline                      |
//! |             | `account`                           | version, account; may be missing       |
//! | `streams`   | u64 stream id                       | version, stream                        |
//! | `shards`    | u64 stream id, u32 shard id         | version, shard                         |
//! | `consumers` | u64 stream id, 1 to 128 bytes: name | version, consumer                      |
//! | `marks`     | u64 stream id, u32 shard id         | version, mark                          |
//!
//! The structures, behind their version byte, with the bytes of the whole value; times are
//! milliseconds since 1970:
//!
//! ```text
//! timeline   u64 now | u16 count of jumps | count x (u64 forward_ms, u64 held_ms)
//!                                                            11 + 16 x count bytes
//! account    u8 status of the commitment (0 disabled, 1 enabled, 2 enabled until it may end)
//!            | u8 flags | u64 started | u64 ended | u64 earliest end              27 bytes
//!            flags: 1 = started, 2 = ended, 4 = earliest end;
//!            a field whose flag is not set is 0
//! stream     u8 flags | u32 retention_hours | u64 created | u8 bytes of name | name
//!            | u8 mode (0 provisioned, 1 on demand)
//!            | u8 distribution (0 user partition key, 1 auto)
//!            | u8 quotas (0 the server's, 1 open, 2 aws)
//!            | u8 monitoring (a bit for each metric, 1 to 64, in the order of the API model)
//!            | u32 warm throughput, MiB/s | u32 largest record, KiB (1024 to 10240) | attributes
//!            flags: 1 = being deleted, 2 = has a policy
//! consumer   u8 flags | u64 created | attributes                 flags: 1 = has a policy
//! attributes u8 count of tags | count x (u16 bytes of key | key | u16 bytes of value | value),
//!            keys rising | where there is a policy: u32 bytes of it | policy
//! shard      u8 flags | u32 parent | u32 adjacent parent | u128 first hash key
//!            | u128 last hash key | u64 created | u64 first sequence number
//!            | u64 closed at | u64 last sequence number        74 bytes
//!            flags: 1 = has a parent, 2 = has an adjacent parent, 4 = is closed,
//!            8 = is being removed (since format 2; only with 4);
//!            a field whose flag is not set is 0
//! mark       u64 segment base | u64 offset | u64 next sequence number
//!            | u64 newest arrival | u64 trim horizon             41 bytes
//! ```
//!
//! In version 1 a stream ended behind its name and had no flag but 1, 15 + name bytes; a consumer
//! was `u64 created`, 9 bytes. What they do not say is read as the default.
//!
//! Flags are 0 or 1 where a u8 is a truth value, and a flag that is not listed is an error.
//! A value that is too short or too long is an error: nothing here is ever guessed at.

mod settings;
#[cfg(test)]
mod tests;

use redb::TableDefinition;

use super::contents::{ConsumerEntry, ShardClosed, ShardEntry, ShardMark};
use crate::clock::{Jump, TimelineState};
use crate::hash_key::{HashKey, HashKeyRange};
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::sequence::SequenceNumber;
use crate::settings::{StreamSettings, Tags};

pub(super) use settings::{decode_account, encode_account};
use settings::{put_attributes, put_settings, take_attributes, take_settings};

/// A table of the catalog.
pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// What there is once. **Frozen**, as all names and keys below.
pub(super) const META: Table = TableDefinition::new("meta");
/// The streams, and the tombstones of those being deleted.
pub(super) const STREAMS: Table = TableDefinition::new("streams");
/// The shards of all streams.
pub(super) const SHARDS: Table = TableDefinition::new("shards");
/// The registered consumers of all streams.
pub(super) const CONSUMERS: Table = TableDefinition::new("consumers");
/// The durable ends of all shards that have one.
pub(super) const MARKS: Table = TableDefinition::new("marks");

/// Key in [`META`]: the format version.
pub(super) const FORMAT_KEY: &[u8] = b"format";
/// Key in [`META`]: how the last run went.
pub(super) const RUN_KEY: &[u8] = b"run";
/// Key in [`META`]: the secret that shard iterators are signed with.
pub(super) const ITERATOR_KEY_KEY: &[u8] = b"iterator_key";
/// Key in [`META`]: the number of the next stream.
pub(super) const NEXT_STREAM_ID_KEY: &[u8] = b"next_stream_id";
/// Key in [`META`]: the timeline of arrival stamps.
pub(super) const TIMELINE_KEY: &[u8] = b"timeline";

/// Key in [`META`]: the settings of the account.
pub(super) const ACCOUNT_KEY: &[u8] = b"account";

/// The newest format of the catalog that this program knows, and the one it writes. **Frozen**
/// per release.
pub const FORMAT: u32 = 2;

/// The version byte of every value but those of streams and consumers.
const VERSION: u8 = 1;
/// The version byte of the values of streams and consumers; 1 was without settings.
const VERSION_WITH_SETTINGS: u8 = 2;

const STREAM_DELETING: u8 = 1;
const STREAM_POLICY: u8 = 2;

const CONSUMER_POLICY: u8 = 1;

const SHARD_PARENT: u8 = 1;
const SHARD_ADJACENT_PARENT: u8 = 2;
const SHARD_CLOSED: u8 = 4;
const SHARD_REMOVING: u8 = 8;

/// Why bytes are no key or value of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Undecodable {
    /// A newer program wrote it; this is its version.
    Newer(u8),
    /// Nothing that any version writes; the text says what was being read.
    Damaged(&'static str),
}

/// Whether the last run ended as it should, and how it acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Whether it shut down, with all marks recorded.
    pub(super) clean: bool,
    /// Whether it acknowledged records before they were synced.
    pub(super) unsynced: bool,
}

/// A stream without its shards and consumers, which have tables of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StreamValue {
    /// The name its user gave it.
    pub(super) name: StreamName,
    /// When it was made.
    pub(super) created_ms: u64,
    /// For how long records are kept.
    pub(super) retention_hours: u32,
    /// Whether this is a tombstone.
    pub(super) is_deleting: bool,
    /// What is set on it.
    pub(super) settings: StreamSettings,
}

/// The key of a stream, and the prefix of the keys of all that belongs to it.
pub(super) fn stream_key(id: StreamId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// The key of a shard, and of its mark.
pub(super) fn shard_key(stream: StreamId, shard: ShardId) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&stream.0.to_be_bytes());
    key[8..].copy_from_slice(&shard.0.to_be_bytes());
    key
}

/// The key of a consumer.
pub(super) fn consumer_key(stream: StreamId, name: &ConsumerName) -> Vec<u8> {
    let mut key = stream_key(stream).to_vec();
    key.extend_from_slice(name.as_str().as_bytes());
    key
}

/// Reads [`stream_key`].
pub(super) fn decode_stream_key(key: &[u8]) -> Result<StreamId, Undecodable> {
    let key = key.try_into().map_err(|_| Undecodable::Damaged("the key of a stream"))?;
    Ok(StreamId(u64::from_be_bytes(key)))
}

/// Reads [`shard_key`].
pub(super) fn decode_shard_key(key: &[u8]) -> Result<(StreamId, ShardId), Undecodable> {
    let damaged = Undecodable::Damaged("the key of a shard");
    let (stream, shard) = key.split_first_chunk().ok_or(damaged)?;
    let shard = shard.try_into().map_err(|_| damaged)?;
    Ok((StreamId(u64::from_be_bytes(*stream)), ShardId(u32::from_be_bytes(shard))))
}

/// Reads [`consumer_key`].
pub(super) fn decode_consumer_key(key: &[u8]) -> Result<(StreamId, ConsumerName), Undecodable> {
    let damaged = Undecodable::Damaged("the key of a consumer");
    let (stream, name) = key.split_first_chunk().ok_or(damaged)?;
    let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    Ok((StreamId(u64::from_be_bytes(*stream)), name.ok_or(damaged)?))
}

/// The one value without a version byte: it says whether the rest can be read.
pub(super) fn encode_format(format: u32) -> Vec<u8> {
    format.to_le_bytes().to_vec()
}

/// Reads [`encode_format`].
pub(super) fn decode_format(value: &[u8]) -> Result<u32, Undecodable> {
    let value = value.try_into().map_err(|_| Undecodable::Damaged("the format version"))?;
    Ok(u32::from_le_bytes(value))
}

/// Writes the value of [`RUN_KEY`].
pub(super) fn encode_run(run: Run) -> Vec<u8> {
    vec![VERSION, u8::from(run.clean), u8::from(run.unsynced)]
}

/// Reads [`encode_run`].
pub(super) fn decode_run(value: &[u8]) -> Result<Run, Undecodable> {
    let mut fields = Fields::open(value, "how the last run ended")?;
    let run = Run { clean: fields.truth()?, unsynced: fields.truth()? };
    fields.end(run)
}

/// Writes the value of [`ITERATOR_KEY_KEY`].
pub(super) fn encode_iterator_key(secret: &[u8; 32]) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(secret);
    value
}

/// Reads [`encode_iterator_key`].
pub(super) fn decode_iterator_key(value: &[u8]) -> Result<[u8; 32], Undecodable> {
    let mut fields = Fields::open(value, "the iterator key")?;
    let secret = fields.take()?;
    fields.end(secret)
}

/// Writes the value of [`NEXT_STREAM_ID_KEY`].
pub(super) fn encode_next_stream_id(id: u64) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&id.to_le_bytes());
    value
}

/// Reads [`encode_next_stream_id`].
pub(super) fn decode_next_stream_id(value: &[u8]) -> Result<u64, Undecodable> {
    let mut fields = Fields::open(value, "the next stream id")?;
    let id = fields.u64()?;
    fields.end(id)
}

/// Writes the value of [`TIMELINE_KEY`].
pub(super) fn encode_timeline(timeline: &TimelineState) -> Vec<u8> {
    let count = u16::try_from(timeline.jumps.len()).expect("the timeline keeps 32 jumps at most");
    let mut value = vec![VERSION];
    value.extend_from_slice(&timeline.now_ms.to_le_bytes());
    value.extend_from_slice(&count.to_le_bytes());
    for jump in &timeline.jumps {
        value.extend_from_slice(&jump.forward_ms.to_le_bytes());
        value.extend_from_slice(&jump.held_ms.to_le_bytes());
    }
    value
}

/// Reads [`encode_timeline`].
pub(super) fn decode_timeline(value: &[u8]) -> Result<TimelineState, Undecodable> {
    let mut fields = Fields::open(value, "the timeline")?;
    let now_ms = fields.u64()?;
    let count = u16::from_le_bytes(fields.take()?);
    let mut jumps = Vec::new();
    for _ in 0..count {
        jumps.push(Jump { forward_ms: fields.u64()?, held_ms: fields.u64()? });
    }
    fields.end(TimelineState { now_ms, jumps })
}

/// Writes a value of [`STREAMS`].
pub(super) fn encode_stream(stream: &StreamValue) -> Vec<u8> {
    let name = stream.name.as_str().as_bytes();
    let mut flags = 0;
    if stream.is_deleting {
        flags |= STREAM_DELETING;
    }
    if stream.settings.policy.is_some() {
        flags |= STREAM_POLICY;
    }
    let mut value = vec![VERSION_WITH_SETTINGS, flags];
    value.extend_from_slice(&stream.retention_hours.to_le_bytes());
    value.extend_from_slice(&stream.created_ms.to_le_bytes());
    value.push(u8::try_from(name.len()).expect("a name has at most 128 bytes"));
    value.extend_from_slice(name);
    put_settings(&stream.settings, &mut value);
    value
}

/// Reads [`encode_stream`], and values of version 1.
pub(super) fn decode_stream(value: &[u8]) -> Result<StreamValue, Undecodable> {
    let (has_settings, mut fields) = Fields::open_either(value, "a stream")?;
    let known = if has_settings { STREAM_DELETING | STREAM_POLICY } else { STREAM_DELETING };
    let flags = fields.flags(known)?;
    let retention_hours = fields.u32()?;
    let created_ms = fields.u64()?;
    let name_bytes = fields.u8()?;
    let name = fields.text(usize::from(name_bytes))?;
    let name = name.parse().map_err(|_| fields.damaged())?;
    let settings = match has_settings {
        true => take_settings(&mut fields, flags & STREAM_POLICY != 0)?,
        false => StreamSettings::default(),
    };
    let is_deleting = flags & STREAM_DELETING != 0;
    let stream = StreamValue { name, created_ms, retention_hours, is_deleting, settings };
    fields.end(stream)
}

/// Writes a value of [`SHARDS`]. Its id is in the key.
pub(super) fn encode_shard(shard: &ShardEntry) -> Vec<u8> {
    let [parent, adjacent_parent] = shard.parents;
    let mut flags = 0;
    if parent.is_some() {
        flags |= SHARD_PARENT;
    }
    if adjacent_parent.is_some() {
        flags |= SHARD_ADJACENT_PARENT;
    }
    if shard.closed.is_some() {
        flags |= SHARD_CLOSED;
    }
    if shard.is_removing {
        flags |= SHARD_REMOVING;
    }
    let (closed_at_ms, last_sequence) =
        shard.closed.map_or((0, 0), |closed| (closed.at_ms, closed.last_sequence.0));
    let mut value = vec![VERSION, flags];
    for parent in [parent, adjacent_parent] {
        value.extend_from_slice(&parent.map_or(0, |parent| parent.0).to_le_bytes());
    }
    value.extend_from_slice(&shard.range.start.0.to_le_bytes());
    value.extend_from_slice(&shard.range.end.0.to_le_bytes());
    let rest = [shard.created_ms, shard.first_sequence.0, closed_at_ms, last_sequence];
    for field in rest {
        value.extend_from_slice(&field.to_le_bytes());
    }
    value
}

/// Reads [`encode_shard`].
pub(super) fn decode_shard(id: ShardId, value: &[u8]) -> Result<ShardEntry, Undecodable> {
    let mut fields = Fields::open(value, "a shard")?;
    let known = SHARD_PARENT | SHARD_ADJACENT_PARENT | SHARD_CLOSED | SHARD_REMOVING;
    let flags = fields.flags(known)?;
    let parents = [
        (flags & SHARD_PARENT != 0, fields.u32()?),
        (flags & SHARD_ADJACENT_PARENT != 0, fields.u32()?),
    ];
    let range = HashKeyRange {
        start: HashKey(u128::from_le_bytes(fields.take()?)),
        end: HashKey(u128::from_le_bytes(fields.take()?)),
    };
    let created_ms = fields.u64()?;
    let first_sequence = SequenceNumber(fields.u64()?);
    let closed = ShardClosed { at_ms: fields.u64()?, last_sequence: SequenceNumber(fields.u64()?) };
    let is_closed = flags & SHARD_CLOSED != 0;
    let is_stray = |(is_set, parent): (bool, u32)| !is_set && parent != 0;
    let has_stray_closing = !is_closed && (closed.at_ms != 0 || closed.last_sequence.0 != 0);
    let is_removing = flags & SHARD_REMOVING != 0;
    let is_stray_parent = parents.into_iter().any(is_stray);
    let is_open_removed = is_removing && !is_closed;
    if is_stray_parent || has_stray_closing || is_open_removed || range.start > range.end {
        return Err(fields.damaged());
    }
    let shard = ShardEntry {
        id,
        range,
        parents: parents.map(|(is_set, parent)| is_set.then_some(ShardId(parent))),
        created_ms,
        first_sequence,
        closed: is_closed.then_some(closed),
        is_removing,
    };
    fields.end(shard)
}

/// Writes a value of [`CONSUMERS`]. The name is in the key.
pub(super) fn encode_consumer(consumer: &ConsumerEntry) -> Vec<u8> {
    let flags = if consumer.policy.is_some() { CONSUMER_POLICY } else { 0 };
    let mut value = vec![VERSION_WITH_SETTINGS, flags];
    value.extend_from_slice(&consumer.created_ms.to_le_bytes());
    put_attributes(&consumer.tags, consumer.policy.as_deref(), &mut value);
    value
}

/// Reads [`encode_consumer`], and values of version 1.
pub(super) fn decode_consumer(
    name: ConsumerName,
    value: &[u8],
) -> Result<ConsumerEntry, Undecodable> {
    let (has_settings, mut fields) = Fields::open_either(value, "a consumer")?;
    let flags = if has_settings { fields.flags(CONSUMER_POLICY)? } else { 0 };
    let created_ms = fields.u64()?;
    let (tags, policy) = match has_settings {
        true => take_attributes(&mut fields, flags & CONSUMER_POLICY != 0)?,
        false => (Tags::new(), None),
    };
    fields.end(ConsumerEntry { name, created_ms, tags, policy })
}

/// Writes a value of [`MARKS`].
pub(super) fn encode_mark(mark: &ShardMark) -> Vec<u8> {
    let fields = [
        mark.segment_base.0,
        mark.offset,
        mark.next_sequence.0,
        mark.newest_arrival_ms,
        mark.trim_horizon.0,
    ];
    let mut value = vec![VERSION];
    for field in fields {
        value.extend_from_slice(&field.to_le_bytes());
    }
    value
}

/// Reads [`encode_mark`].
pub(super) fn decode_mark(value: &[u8]) -> Result<ShardMark, Undecodable> {
    let mut fields = Fields::open(value, "a mark")?;
    let mark = ShardMark {
        segment_base: SequenceNumber(fields.u64()?),
        offset: fields.u64()?,
        next_sequence: SequenceNumber(fields.u64()?),
        newest_arrival_ms: fields.u64()?,
        trim_horizon: SequenceNumber(fields.u64()?),
    };
    fields.end(mark)
}

/// The fields of a value, from the front.
struct Fields<'a> {
    rest: &'a [u8],
    /// What is being read, for the error.
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Steps over the version byte.
    fn open(value: &'a [u8], what: &'static str) -> Result<Self, Undecodable> {
        match value.split_first() {
            Some((&VERSION, rest)) => Ok(Fields { rest, what }),
            Some((&version, _)) if version > VERSION => Err(Undecodable::Newer(version)),
            _ => Err(Undecodable::Damaged(what)),
        }
    }

    /// The same for a value of version 1, or of the one with settings: which is told.
    fn open_either(value: &'a [u8], what: &'static str) -> Result<(bool, Self), Undecodable> {
        match value.split_first() {
            Some((&VERSION_WITH_SETTINGS, rest)) => Ok((true, Fields { rest, what })),
            Some((&version, _)) if version > VERSION_WITH_SETTINGS => {
                Err(Undecodable::Newer(version))
            }
            _ => Fields::open(value, what).map(|fields| (false, fields)),
        }
    }

    fn damaged(&self) -> Undecodable {
        Undecodable::Damaged(self.what)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(self.damaged())?;
        self.rest = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, Undecodable> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Undecodable> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Undecodable> {
        self.take().map(u64::from_le_bytes)
    }

    fn truth(&mut self) -> Result<bool, Undecodable> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    fn flags(&mut self, known: u8) -> Result<u8, Undecodable> {
        let flags = self.u8()?;
        match flags & !known {
            0 => Ok(flags),
            _ => Err(self.damaged()),
        }
    }

    fn text(&mut self, bytes: usize) -> Result<&'a str, Undecodable> {
        let (text, rest) = self.rest.split_at_checked(bytes).ok_or(self.damaged())?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| self.damaged())
    }

    /// Nothing may follow the last field.
    fn end<T>(self, value: T) -> Result<T, Undecodable> {
        match self.rest {
            [] => Ok(value),
            _ => Err(self.damaged()),
        }
    }
}
