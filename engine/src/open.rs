//! Opening a data directory: lock, catalog, logs, and what no one claims.
//!
//! ```text
//! LOCK -> directories -> catalog -> spare -> every log (several at a time) -> tombstones
//!      -> directories without a catalog entry to lost+found/ -> marks -> "a run began"
//! ```
//!
//! Nothing is deleted because metadata is missing: a directory that the catalog does not know
//! is moved aside and reported, and a catalog that is missing while there are records stops
//! the start. A shard whose files the system refuses to read is opened halted; the rest is
//! served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::catalog::{Catalog, Contents, ShardClosed, ShardEntry, ShardMark, StreamEntry};
use crate::clock::Timeline;
use crate::commit::Shared;
use crate::error::{Damage, Error, IoContext, Result};
use crate::fs::{Fs, Lock, sync_new_dirs};
use crate::ids::StreamId;
use crate::log::LogView;
use crate::log::header::ShardIdentity;
use crate::log::paths::{Paths, parse_number, parse_segment_name};
use crate::log::recover::{Recovered, Start, recover};
use crate::log::segment::SegmentCache;
use crate::log::spare::Spare;
use crate::log::writer::{Durability, LogHost, Tail};
use crate::options::{EngineOptions, Environment, OpenReport};
use crate::removal::remove_tree;
use crate::reserve::Reserve;
use crate::sequence::SequenceNumber;
use crate::shard::Shard;
use crate::state::{State, Streams};
use crate::stream::Stream;

/// An opened directory, before it is an engine.
pub(crate) struct Opened {
    pub(crate) state: State,
    pub(crate) iterator_key: [u8; 32],
    pub(crate) report: OpenReport,
    pub(crate) lock: Box<dyn Lock>,
}

pub(crate) fn open(options: &EngineOptions, environment: &Environment) -> Result<Opened> {
    let fs = &environment.fs;
    let paths = Paths::new(&options.data);
    create_dirs(fs.as_ref(), paths.data())?;
    let lock = lock(fs.as_ref(), &paths)?;
    let dirs = [paths.shards(), paths.spare(), paths.lost_and_found()];
    for dir in &dirs {
        fs.create_dir(dir).or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Err(Error::InTheWay { path: dir.clone(), wanted: "directory" })
            }
            _ => Err(error).at("create", dir, None),
        })?;
    }
    sync_new_dirs(fs.as_ref(), paths.data(), &dirs)?;

    let has_records = has_records(fs.as_ref(), &paths)?;
    let entropy = environment.entropy.as_ref();
    // A server starts on a full disk too: what it then needs of the catalog has its reserve.
    let reserve = Reserve::new(fs.clone(), paths.reserve());
    let open = || Catalog::open(fs.clone(), paths.data(), has_records, entropy);
    let (catalog, contents) = reserve.back(open)?;
    let clock = environment.clock.clone();
    let timeline = Timeline::resume(contents.timeline.clone(), clock.wall_ms(), clock.monotonic());
    let host = Arc::new(LogHost {
        fs: fs.clone(),
        spare: Spare::open(fs.clone(), paths.spare(), options.segment_bytes.max)?,
        paths: paths.clone(),
        entropy: environment.entropy.clone(),
        durability: options.durability,
        segment_bytes: options.segment_bytes,
    });
    let shared = Arc::new(Shared::new(host, clock, timeline, options.open_writers_max));
    let cache = Arc::new(SegmentCache::new(fs.clone(), options.open_segments_max));
    let mut report = OpenReport { clean: contents.clean, ..OpenReport::default() };

    let live: Vec<_> = contents.streams.iter().filter(|stream| !stream.is_deleting).collect();
    let streams = open_streams(options, &shared, &cache, &contents, &live, &mut report)?;
    let mut remaining = Vec::new();
    for stream in contents.streams.iter().filter(|stream| stream.is_deleting) {
        let removed = remove_tree(fs.as_ref(), &paths, stream.id)
            .and_then(|()| reserve.back(|| catalog.forget_stream(stream.id)));
        if let Err(error) = removed {
            tracing::warn!(stream = %stream.name, %error, "files of a deleted stream remain");
            remaining.push(Arc::new(Stream::new(stream, Vec::new())));
        }
    }
    let mut expired = Vec::new();
    for stream in &live {
        let removing = stream.shards.iter().filter(|shard| shard.is_removing);
        expired.extend(removing.map(|shard| (stream.id, shard.id)));
    }
    let claimed: Vec<_> = contents.streams.iter().map(|stream| stream.id).collect();
    report.lost_and_found = move_unclaimed(fs.as_ref(), &paths, &claimed)?;
    report.streams = live.len();
    report.shards = streams.iter().map(|stream| stream.shards().len()).sum();
    for _ in &report.damage {
        cache.note_damage();
    }

    // What was recovered is durable: a crash from here on scans no more than this one did.
    let marks: Vec<_> = streams
        .iter()
        .flat_map(|stream| {
            let shards = stream.shards().to_vec();
            shards.into_iter().map(|shard| (stream.id(), shard))
        })
        .filter_map(|(stream, shard)| Some((stream, shard.id(), shard.mark()?)))
        .collect();
    if !contents.clean && !marks.is_empty() {
        let timeline = shared.timeline.lock().state();
        match reserve.back(|| catalog.record(&marks, &timeline)) {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "durable ends could not be recorded; recovery scans more");
            }
            recorded => recorded?,
        }
    }
    // The numbers that a run in durability `os` may have shown and lost are leapt over again at
    // every start until one stop was clean: until then the leap may stand nowhere on disk.
    let still_unsynced = contents.unsynced && !contents.clean;
    let unsynced = options.durability == Durability::Os || still_unsynced;
    let begin_owed = begin(&catalog, &reserve, &contents, unsynced)?.then_some(unsynced);
    let suspended = if begin_owed.is_some() { streams.clone() } else { Vec::new() };
    for stream in &suspended {
        stream.suspend(&Error::DiskFull);
    }
    let streams = Streams {
        by_name: streams.into_iter().map(|each| (each.name().clone(), each)).collect(),
        creating: std::collections::BTreeSet::new(),
        deleting: Vec::new(),
        remaining,
        expired,
        suspended,
        begin_owed,
        next_id: contents.next_stream_id,
        is_stopping: false,
    };
    Ok(Opened {
        state: State {
            shared,
            catalog,
            cache,
            reserve,
            account: Mutex::new(contents.account),
            streams: Mutex::new(streams),
        },
        iterator_key: contents.iterator_key,
        report,
        lock,
    })
}

/// Notes that a run begins. True: the disk is too full for that, and the note is owed.
fn begin(
    catalog: &Catalog,
    reserve: &Reserve,
    contents: &Contents,
    unsynced: bool,
) -> Result<bool> {
    match reserve.back(|| catalog.begin(unsynced)) {
        Err(error) if error.is_full() => {
            // What the catalog says may be just that.
            let is_owed = contents.clean || contents.unsynced != unsynced;
            tracing::warn!(%error, is_owed, "the start could not be recorded: the disk is full");
            Ok(is_owed)
        }
        begun => begun.map(|()| false),
    }
}

/// A stream that was just made: no log has a file yet.
pub(crate) fn new_stream(
    shared: &Arc<Shared>,
    cache: &Arc<SegmentCache>,
    entry: &StreamEntry,
) -> Stream {
    let first_shards = entry.first_shards();
    let shards = entry.shards.iter().map(|shard| {
        Arc::new(new_shard(shared, cache, entry.identity(shard, first_shards), shard))
    });
    Stream::new(entry, shards.collect())
}

/// A shard that was just made: its log has no file yet.
pub(crate) fn new_shard(
    shared: &Arc<Shared>,
    cache: &Arc<SegmentCache>,
    identity: ShardIdentity,
    entry: &ShardEntry,
) -> Shard {
    make_shard(shared, cache, identity, entry.closed, nothing(entry.first_sequence))
}

/// Takes the lock that makes this process the directory's only user.
pub(crate) fn lock(fs: &dyn Fs, paths: &Paths) -> Result<Box<dyn Lock>> {
    fs.lock(&paths.lock()).or_else(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Err(Error::Locked { path: paths.data().to_owned() }),
        std::io::ErrorKind::IsADirectory => {
            Err(Error::InTheWay { path: paths.lock(), wanted: "file" })
        }
        _ => Err(error).at("lock", &paths.lock(), None),
    })
}

fn open_streams(
    options: &EngineOptions,
    shared: &Arc<Shared>,
    cache: &Arc<SegmentCache>,
    contents: &Contents,
    live: &[&StreamEntry],
    report: &mut OpenReport,
) -> Result<Vec<Arc<Stream>>> {
    let jobs: Vec<_> = live
        .iter()
        .enumerate()
        .flat_map(|(position, stream)| stream.shards.iter().map(move |shard| (position, shard)))
        .filter(|(_, shard)| !shard.is_removing)
        .collect();
    let recover_one = |&(position, shard): &(usize, &ShardEntry)| {
        let stream = live[position];
        let mark = contents.marks.get(&(stream.id, shard.id)).copied();
        // A shard that was closed ended as cleanly as a stop does: its end and its mark were
        // recorded together, behind a sync.
        let is_at_end = |closed: ShardClosed| {
            mark.is_none_or(|mark| mark.next_sequence == closed.last_sequence.next())
        };
        let is_closed = shard.closed.is_some_and(is_at_end);
        let start = Start {
            stream: stream.id,
            shard: shard.id,
            dir: shared.host.paths.shard(stream.id, shard.id),
            first_sequence: shard.first_sequence,
            mark,
            is_clean: contents.clean || is_closed,
            is_unsynced: contents.unsynced && !is_closed,
        };
        (recover(shared.host.fs.as_ref(), &start), start)
    };
    let first_shards: Vec<_> = live.iter().map(|stream| stream.first_shards()).collect();
    let mut shards: Vec<Vec<Arc<Shard>>> = live.iter().map(|_| Vec::new()).collect();
    for (job, result) in jobs.iter().zip(in_parallel(options.recovery_threads, &jobs, recover_one))
    {
        let (position, entry) = *job;
        let (recovered, halted_by) = match result {
            (Ok(recovered), _) => (recovered, None),
            // Not a failing disk: an older program on a newer directory has no business here.
            (Err(error @ Error::NewerFormat { .. }), _) => return Err(error),
            (Err(error), start) => (unreadable(&start), Some(error)),
        };
        report.scanned_bytes += recovered.scanned_bytes;
        report.truncated_bytes += recovered.truncated_bytes;
        report.damage.extend(recovered.damage.iter().cloned());
        let identity = live[position].identity(entry, first_shards[position]);
        let shard = Arc::new(make_shard(shared, cache, identity, entry.closed, recovered));
        if let Some(error) = halted_by {
            tracing::error!(stream = %live[position].name, shard = %entry.id, %error,
                "the shard cannot be opened; it is halted, the others are served");
            shard.halt(&error);
        }
        shards[position].push(shard);
    }
    let streams = live.iter().zip(shards);
    Ok(streams.map(|(entry, shards)| Arc::new(Stream::new(entry, shards))).collect())
}

/// Does all jobs on at most `threads` threads; results in the order of the jobs.
fn in_parallel<J: Sync, T: Send>(
    threads: usize,
    jobs: &[J],
    work: impl Fn(&J) -> T + Sync,
) -> Vec<T> {
    if threads <= 1 || jobs.len() <= 1 {
        return jobs.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { return };
                    let result = work(job);
                    done.lock().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn make_shard(
    shared: &Arc<Shared>,
    cache: &Arc<SegmentCache>,
    identity: ShardIdentity,
    closed: Option<ShardClosed>,
    recovered: Recovered,
) -> Shard {
    let view = Arc::new(LogView::new(
        identity.stream,
        identity.shard,
        cache.clone(),
        recovered.segments.clone(),
        recovered.tip,
        recovered.trim_horizon,
        recovered.tip_damage.clone(),
    ));
    Shard::new(shared.clone(), view, identity, closed, recovered)
}

/// A log without files.
fn nothing(first_sequence: SequenceNumber) -> Recovered {
    Recovered {
        segments: Vec::new(),
        tail: Tail {
            active: None,
            next: first_sequence,
            follows: None,
            last_arrival_ms: 0,
            next_segment_bytes: 0,
            pin: None,
        },
        next: first_sequence,
        tip: first_sequence,
        trim_horizon: first_sequence,
        damage: Vec::new(),
        tip_damage: None,
        scanned_bytes: 0,
        truncated_bytes: 0,
    }
}

/// A log whose files the system refuses to read.
fn unreadable(start: &Start) -> Recovered {
    let mark = start.mark.unwrap_or(ShardMark {
        segment_base: SequenceNumber(0),
        offset: 0,
        next_sequence: start.first_sequence,
        newest_arrival_ms: 0,
        trim_horizon: start.first_sequence,
    });
    let damage = Damage {
        stream: start.stream,
        shard: start.shard,
        file: start.dir.clone(),
        offset: 0,
        first_lost: mark.trim_horizon,
        next_readable: mark.next_sequence.max(mark.trim_horizon),
        found: "the system refuses to read the shard's files",
    };
    Recovered {
        trim_horizon: mark.trim_horizon,
        next: damage.next_readable,
        tip: damage.next_readable,
        damage: vec![damage.clone()],
        tip_damage: Some(damage),
        ..nothing(start.first_sequence)
    }
}

/// Makes the data directory, and what is missing above it, durably.
fn create_dirs(fs: &dyn Fs, dir: &Path) -> Result<()> {
    match fs.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        result => return result.map(|_| ()).at("list", dir, None),
    }
    let parent = match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    if let Err(error) = fs.create_dir(dir) {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Err(error).at("create", dir, None);
        }
        create_dirs(fs, parent)?;
        fs.create_dir(dir).at("create", dir, None)?;
    }
    sync_new_dirs(fs, parent, &[dir.to_owned()])
}

/// Whether any segment stands under `shards/`.
pub(crate) fn has_records(fs: &dyn Fs, paths: &Paths) -> Result<bool> {
    for stream in list(fs, &paths.shards())? {
        for shard in list(fs, &stream)? {
            let entries = fs.list(&shard).at("list", &shard, None)?;
            if entries.iter().any(|entry| parse_segment_name(&entry.name).is_some()) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The directories in a directory.
pub(crate) fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs.list(dir).at("list", dir, None)?;
    let mut dirs: Vec<_> =
        entries.into_iter().filter(|e| e.is_dir).map(|e| dir.join(e.name)).collect();
    dirs.sort();
    Ok(dirs)
}

/// Moves what no catalog entry claims out of the way, and says where it is.
fn move_unclaimed(fs: &dyn Fs, paths: &Paths, claimed: &[StreamId]) -> Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    for dir in list(fs, &paths.shards())? {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = parse_number(name).map(StreamId);
        if id.is_some_and(|id| claimed.contains(&id)) {
            continue;
        }
        let taken: Vec<_> =
            fs.list(&paths.lost_and_found()).at("list", &paths.lost_and_found(), None)?;
        let free = (0..=taken.len())
            .map(|number| format!("{name}-{number}"))
            .find(|free| !taken.iter().any(|entry| entry.name == *free))
            .expect("more names were tried than there are");
        let to = paths.lost_and_found().join(free);
        fs.rename(&dir, &to).at("rename", &dir, None)?;
        for dir in [paths.lost_and_found(), paths.shards()] {
            fs.sync_dir(&dir).at("sync", &dir, None)?;
        }
        moved.push(to);
    }
    Ok(moved)
}
