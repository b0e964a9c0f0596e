//! A catalog from what the headers of the segments say: for when the file is lost or damaged.
//!
//! Every header names its stream, shard, hash range and parents, so whatever has ever held a
//! record comes back. What no segment tells of is gone: registered consumers, settings, streams that
//! never took a record, iterators (the key is new), retention beyond what the newest header says.
//!
//! Nobody knows any more how far the logs were durable. So the marks stand at the first frame of
//! each last segment, from where recovery walks as after a crash, and the catalog says that the
//! last run may have acknowledged before the sync: then the next start leaves a gap of numbers
//! that no client can have seen. Without it, a last frame that is damaged would pass for a torn
//! tail, and its numbers would be given out a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::lineage::restore;
use super::{check_is_data_dir, free_name, lock, numbered_dirs, read_catalog};
use crate::catalog::{Catalog, Contents, ShardEntry, ShardMark, StreamEntry};
use crate::clock::TimelineState;
use crate::error::{Error, IoContext, Result};
use crate::fs::{Access, Fs};
use crate::ids::{ShardId, StreamId, StreamName};
use crate::limits::{RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARDS_PER_STREAM_MAX};
use crate::log::header::{FRAMES_START, SegmentHeader};
use crate::log::index::footer_bytes;
use crate::log::paths::{Paths, segment_base};
use crate::log::scan::{Found, Scanner};
use crate::options::Environment;
use crate::sequence::SequenceNumber;
use crate::settings::StreamSettings;

/// A stream as it comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RebuiltStream {
    /// Its incarnation.
    pub id: StreamId,
    /// Its name.
    pub name: StreamName,
    /// For how long it keeps records.
    pub retention_hours: u32,
    /// Its shards.
    pub shards: u64,
    /// Those that no segment tells of, which therefore come back empty.
    pub empty_shards: u64,
}

/// What a new catalog holds, or will.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RebuildReport {
    /// Why the old catalog is of no use.
    pub found: String,
    /// The streams by id.
    pub streams: Vec<RebuiltStream>,
    /// Directories that move to `lost+found/`: of two streams of a name, the older one.
    pub moved: Vec<PathBuf>,
    /// What somebody should know: what is lost, and what was guessed.
    pub notes: Vec<String>,
    /// Whether it was done.
    pub is_applied: bool,
}

/// Plans a new catalog for the data directory `data`, and with `apply` puts it in place; the old
/// one is kept as `catalog.redb.damaged-N`. Refused where the catalog can be read: a new one
/// would forget what only the old one knows.
pub fn rebuild_catalog(
    environment: &Environment,
    data: &Path,
    apply: bool,
) -> Result<RebuildReport> {
    let fs = environment.fs.as_ref();
    check_is_data_dir(fs, data)?;
    let _lock = lock(fs, data)?;
    let paths = Paths::new(data);
    let Err(found) = read_catalog(fs, data)? else {
        let found = "it is whole, and a new one would know less; nothing was changed";
        return Err(Error::Catalog { path: data.join("catalog.redb"), found: found.to_owned() });
    };
    let mut report = RebuildReport { found, ..RebuildReport::default() };
    let mut iterator_key = [0; 32];
    environment.entropy.fill(&mut iterator_key);
    let mut contents = Contents {
        clean: false,
        unsynced: true,
        next_stream_id: next_stream_id(fs, &paths)?,
        ..Contents::empty(iterator_key)
    };
    let mut newest_ms = 0;
    for id in numbered_dirs(fs, &paths.shards())?.0.into_iter().map(StreamId) {
        let shards = read_shards(fs, &paths, id, &mut report.notes)?;
        newest_ms = shards.values().map(|shard| shard.newest_ms).max().unwrap_or(0).max(newest_ms);
        let Some(stream) = stream_of(id, &shards, &mut report) else {
            report.notes.push(format!(
                "{}: no segment has a whole header; the next start moves it to lost+found",
                paths.stream(id).display()
            ));
            continue;
        };
        let marks = shards.iter().filter_map(|(&shard, facts)| Some((shard, facts.mark()?)));
        contents.marks.extend(marks.map(|(shard, mark)| ((id, shard), mark)));
        contents.streams.push(stream);
    }
    contents.timeline = TimelineState { now_ms: newest_ms, jumps: Vec::new() };
    bury_namesakes(&mut contents, &paths, &mut report);
    report.notes.extend([
        "settings are the defaults again: those of each stream but its retention (mode, largest \
         record, distribution, quotas, monitoring, tags, policy), and the account's; set them again"
            .to_owned(),
        "registered consumers are forgotten; register them again".to_owned(),
        "streams that never took a record are forgotten; make them again".to_owned(),
        "a stream that was being deleted may be back; delete it again".to_owned(),
        "shard iterators of before are no longer valid".to_owned(),
    ]);
    if apply {
        move_aside(fs, &paths, &report.moved)?;
        Catalog::rebuild(environment.fs.clone(), data, &contents)?;
        report.is_applied = true;
    }
    Ok(report)
}

/// What the segments of a shard say.
#[derive(Default)]
struct ShardFacts {
    /// The header of the newest segment that has a whole one.
    header: Option<SegmentHeader>,
    /// The highest of all: a shorter one may be from before a change, and would delete more.
    retention_hours: u32,
    first_base: Option<SequenceNumber>,
    last_base: Option<SequenceNumber>,
    /// The latest time that is known.
    newest_ms: u64,
}

impl ShardFacts {
    fn mark(&self) -> Option<ShardMark> {
        let (first, last) = (self.first_base?, self.last_base?);
        Some(ShardMark {
            segment_base: last,
            offset: FRAMES_START,
            next_sequence: last,
            // All records of earlier segments arrived before the last one was made.
            newest_arrival_ms: self.header.as_ref().map_or(0, |header| header.created_ms),
            trim_horizon: first,
        })
    }
}

fn read_shards(
    fs: &dyn Fs,
    paths: &Paths,
    stream: StreamId,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<ShardId, ShardFacts>> {
    let mut shards = BTreeMap::new();
    for number in numbered_dirs(fs, &paths.stream(stream))?.0 {
        let Ok(shard) = u32::try_from(number).map(ShardId) else { continue };
        let dir = paths.shard(stream, shard);
        let entries = fs.list(&dir).at("list", &dir, None)?;
        let mut names: Vec<_> =
            entries.iter().filter_map(|entry| Some((segment_base(entry)?, &entry.name))).collect();
        names.sort_unstable();
        let mut facts = ShardFacts {
            first_base: names.first().map(|(base, _)| *base),
            last_base: names.last().map(|(base, _)| *base),
            ..ShardFacts::default()
        };
        for (base, name) in names {
            let path = dir.join(name);
            let file = fs.open(&path, Access::Read).at("open", &path, None)?;
            let header = match SegmentHeader::read(file.as_ref(), &path) {
                Err(error) if error.is_unreadable() => None,
                header => header?,
            };
            let header = header.filter(|header| {
                let identity = &header.identity;
                header.base == base && (identity.stream, identity.shard) == (stream, shard)
            });
            let Some(header) = header else {
                notes.push(format!("{}: no whole header; not read", path.display()));
                continue;
            };
            facts.retention_hours = facts.retention_hours.max(header.identity.retention_hours);
            facts.newest_ms = facts.newest_ms.max(header.created_ms);
            if Some(base) == facts.last_base {
                facts.newest_ms = facts.newest_ms.max(last_arrival_ms(file.as_ref(), &header));
            }
            facts.header = Some(header);
        }
        shards.insert(shard, facts);
    }
    Ok(shards)
}

/// When the last record of a segment arrived, as far as its frames can be followed: stamps must
/// not fall behind it.
fn last_arrival_ms(file: &dyn crate::fs::File, header: &SegmentHeader) -> u64 {
    let limit = header.segment_bytes.saturating_sub(footer_bytes(header.segment_bytes));
    let Ok(mut scanner) = Scanner::new(file, header.owner(), limit) else { return 0 };
    let (mut at, mut expected, mut arrival_ms) = (FRAMES_START, header.base, 0);
    while let Ok(Found::Frame(frame)) = scanner.at(at, expected) {
        at += frame.frame_bytes();
        expected = frame.next();
        arrival_ms = frame.last_arrival_ms;
    }
    arrival_ms
}

/// The stream that the headers describe. `None`: there is none that can be read.
fn stream_of(
    id: StreamId,
    facts: &BTreeMap<ShardId, ShardFacts>,
    report: &mut RebuildReport,
) -> Option<StreamEntry> {
    let headers = || facts.values().filter_map(|shard| shard.header.as_ref());
    let newest = headers().max_by_key(|header| header.created_ms)?;
    let retention_hours = facts.values().map(|shard| shard.retention_hours).max().unwrap_or(0);
    let mut stream = StreamEntry {
        id,
        name: newest.identity.stream_name.clone(),
        created_ms: newest.identity.stream_created_ms,
        retention_hours: retention_hours.clamp(RETENTION_HOURS_MIN, RETENTION_HOURS_MAX),
        is_deleting: false,
        settings: StreamSettings::default(),
        shards: headers().map(known_shard).collect(),
        consumers: Vec::new(),
    };
    let known = stream.shards.len();
    let tiles = newest.identity.stream_shards.clamp(1, SHARDS_PER_STREAM_MAX);
    let guess = restore(&mut stream, tiles);
    if let Some(guess) = guess {
        report.notes.push(format!("stream {}: {guess}", stream.name));
    }
    report.streams.push(RebuiltStream {
        id,
        name: stream.name.clone(),
        retention_hours: stream.retention_hours,
        shards: stream.shards.len() as u64,
        empty_shards: (stream.shards.len() - known) as u64,
    });
    Some(stream)
}

fn known_shard(header: &SegmentHeader) -> ShardEntry {
    let identity = &header.identity;
    ShardEntry {
        id: identity.shard,
        range: identity.range,
        parents: identity.parents,
        created_ms: identity.shard_created_ms,
        first_sequence: identity.first_sequence,
        closed: None,
        is_removing: false,
    }
}

/// Of two streams of a name the older was being deleted when the newer was made.
fn bury_namesakes(contents: &mut Contents, paths: &Paths, report: &mut RebuildReport) {
    let mut newest: BTreeMap<StreamName, StreamId> = BTreeMap::new();
    for stream in &contents.streams {
        newest.insert(stream.name.clone(), stream.id);
    }
    let is_newest = |id: StreamId, name: &StreamName| newest.get(name) == Some(&id);
    for stream in contents.streams.iter().filter(|s| !is_newest(s.id, &s.name)) {
        report.moved.push(paths.stream(stream.id));
    }
    contents.streams.retain(|stream| is_newest(stream.id, &stream.name));
    report.streams.retain(|stream| is_newest(stream.id, &stream.name));
    let live: BTreeSet<_> = contents.streams.iter().map(|stream| stream.id).collect();
    contents.marks.retain(|(stream, _), _| live.contains(stream));
}

fn move_aside(fs: &dyn Fs, paths: &Paths, dirs: &[PathBuf]) -> Result<()> {
    let lost_and_found = paths.lost_and_found();
    fs.create_dir(&lost_and_found).at("create", &lost_and_found, None)?;
    fs.sync_dir(paths.data()).at("sync", paths.data(), None)?;
    for dir in dirs {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let to = free_name(fs, &lost_and_found, &format!("{name}-0"), "")?;
        fs.rename(dir, &to).at("rename", dir, None)?;
        for dir in [&lost_and_found, &paths.shards()] {
            fs.sync_dir(dir).at("sync", dir, None)?;
        }
    }
    Ok(())
}

/// A number above the id of every stream that any file still tells of.
fn next_stream_id(fs: &dyn Fs, paths: &Paths) -> Result<u64> {
    let mut highest = numbered_dirs(fs, &paths.shards())?.0.into_iter().max().unwrap_or(0);
    // Everything that is moved there has the id of its stream in front.
    for entry in fs.list(&paths.lost_and_found()).unwrap_or_default() {
        let id = entry.name.split('-').next().and_then(|digits| digits.parse().ok());
        highest = highest.max(id.unwrap_or(0));
    }
    for entry in fs.list(&paths.spare()).unwrap_or_default() {
        let path = paths.spare().join(entry.name);
        let Ok(file) = fs.open(&path, Access::Read) else { continue };
        let header = SegmentHeader::read(file.as_ref(), &path).ok().flatten();
        highest = highest.max(header.map_or(0, |header| header.identity.stream.0));
    }
    Ok(highest.saturating_add(1))
}
