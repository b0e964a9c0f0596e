//! Is a data directory whole? Reads everything that has a checksum, changes nothing, and stops
//! at nothing: a file that cannot be read is a finding like any other.

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::survey::{Log, Survey, survey};
use super::{Finding, FindingKind, check_is_data_dir, lock, numbered_dirs, read_catalog};
use crate::catalog::{Contents, ShardEntry, StreamEntry};
use crate::error::{IoContext, Result};
use crate::fs::{Access, Fs};
use crate::ids::{ShardId, StreamId};
use crate::log::paths::{Paths, segment_base};

/// How often the catalog of a running server is copied until the copy can be read.
const CATALOG_TRIES: usize = 5;

/// Whether a server may be at work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The directory is locked, and everything is judged.
    Offline,
    /// Beside a running server: takes no lock, and judges only what is recorded as durable.
    Online,
}

/// How far the work is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of segments that were looked at.
    pub bytes_done: u64,
    /// Bytes of all segments.
    pub bytes_total: u64,
}

/// What was looked at, and what was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Streams of the catalog, without those being deleted.
    pub streams: u64,
    /// Shards of these.
    pub shards: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Valid frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// What is not as it should be, or worth knowing.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// How many findings there are of a kind.
    pub fn count(&self, kind: FindingKind) -> usize {
        self.findings.iter().filter(|finding| finding.kind == kind).count()
    }

    fn add(&mut self, survey: Survey) {
        self.segments += survey.segments;
        self.bytes += survey.bytes;
        self.frames += survey.frames;
        self.records += survey.records;
        self.findings.extend(survey.findings);
    }
}

/// Checks the data directory `data`. Fails only where there is nothing to check: the directory
/// is none of ours, in use (offline), or of a newer format.
pub fn verify(
    fs: &Arc<dyn Fs>,
    data: &Path,
    mode: Mode,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let fs = fs.as_ref();
    let paths = Paths::new(data);
    let _lock = match mode {
        Mode::Offline => Some(lock(fs, data)?),
        Mode::Online => {
            check_is_data_dir(fs, data)?;
            None
        }
    };
    let mut report = VerifyReport::default();
    let contents = catalog(fs, data, mode, &mut report)?;
    let logs = logs(fs, &paths, contents.as_ref(), mode == Mode::Online, &mut report.findings)?;
    let bytes_total = logs.iter().map(|log| bytes_of(fs, log)).sum();
    let mut bytes_done = 0;
    progress(Progress { bytes_done, bytes_total });
    for log in &logs {
        let mut step = |bytes: u64| {
            bytes_done = (bytes_done + bytes).min(bytes_total);
            progress(Progress { bytes_done, bytes_total });
        };
        report.add(survey(fs, log, &mut step));
    }
    let lost_and_found = paths.lost_and_found();
    for entry in fs.list(&lost_and_found).unwrap_or_default() {
        let found = "kept here because nothing claims it, or it was damaged; yours to remove";
        report.findings.push(Finding::of(
            FindingKind::Note,
            lost_and_found.join(entry.name),
            found,
        ));
    }
    Ok(report)
}

fn catalog(
    fs: &dyn Fs,
    data: &Path,
    mode: Mode,
    report: &mut VerifyReport,
) -> Result<Option<Contents>> {
    let tries = if mode == Mode::Online { CATALOG_TRIES } else { 1 };
    let mut read = read_catalog(fs, data)?;
    for _ in 1..tries {
        if read.is_ok() {
            break;
        }
        read = read_catalog(fs, data)?;
    }
    let path = data.join("catalog.redb");
    match (read, mode) {
        (Ok(contents), _) => {
            let live = contents.streams.iter().filter(|stream| !stream.is_deleting);
            report.streams = live.clone().count() as u64;
            let shards = live.flat_map(|stream| &stream.shards);
            report.shards = shards.filter(|shard| !shard.is_removing).count() as u64;
            Ok(Some(contents))
        }
        (Err(_), Mode::Offline) if is_missing(fs, &path) && !has_records(fs, data) => {
            let found = "there is none yet; the next start makes it";
            report.findings.push(Finding::of(FindingKind::Note, path, found));
            Ok(None)
        }
        (Err(found), Mode::Offline) => {
            let found = format!("{found}; see: anabranch repair --rebuild-catalog");
            report.findings.push(Finding::of(FindingKind::Damage, path, found));
            Ok(None)
        }
        (Err(found), Mode::Online) => {
            let found = format!(
                "cannot be read while the server changes it ({found}): the last segment of each \
                 shard was checked up to its first invalid frame only"
            );
            report.findings.push(Finding::of(FindingKind::Note, path, found));
            Ok(None)
        }
    }
}

fn is_missing(fs: &dyn Fs, path: &Path) -> bool {
    matches!(fs.open(path, Access::Read), Err(error) if error.kind() == NotFound)
}

/// Whether there are records, or anything that cannot be looked into.
fn has_records(fs: &dyn Fs, data: &Path) -> bool {
    let paths = Paths::new(data);
    let is_missing = matches!(fs.list(&paths.shards()), Err(error) if error.kind() == NotFound);
    !is_missing && crate::open::has_records(fs, &paths).unwrap_or(true)
}

/// All logs there are: those of the catalog, and those that have nothing but a directory.
pub(super) fn logs(
    fs: &dyn Fs,
    paths: &Paths,
    contents: Option<&Contents>,
    is_online: bool,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    let (dirs, others) = numbered_dirs(fs, &paths.shards())?;
    let streams: &[StreamEntry] = contents.map_or(&[], |contents| &contents.streams);
    let note = |path: PathBuf, found: &str| Finding::of(FindingKind::Note, path, found);
    for name in others {
        findings.push(note(paths.shards().join(name), "not the directory of a stream"));
    }
    for stream in streams {
        if stream.is_deleting {
            let dir = paths.stream(stream.id);
            findings.push(note(dir, "a deleted stream whose files are still to be removed"));
            continue;
        }
        let contents = contents.expect("the stream stands in it");
        for shard in &stream.shards {
            if shard.is_removing {
                // A part of its files may be gone, and nobody misses them.
                let dir = paths.shard(stream.id, shard.id);
                findings.push(note(dir, "an expired shard whose files are still to be removed"));
                continue;
            }
            logs.push(known_log(paths, contents, stream, shard, is_online));
        }
        let (shard_dirs, others) = numbered_dirs(fs, &paths.stream(stream.id))?;
        let unknown = shard_dirs
            .iter()
            .filter(|&&id| !stream.shards.iter().any(|shard| u64::from(shard.id.0) == id))
            .map(ToString::to_string);
        for name in unknown.chain(others) {
            let dir = paths.stream(stream.id).join(name);
            findings.push(note(dir, "no shard of the catalog; left alone"));
        }
    }
    for id in dirs.into_iter().map(StreamId) {
        if streams.iter().any(|stream| stream.id == id) {
            continue;
        }
        if contents.is_some() {
            let found = "no stream of the catalog; moved to lost+found at the next start";
            findings.push(note(paths.stream(id), found));
        }
        for shard in numbered_dirs(fs, &paths.stream(id))?.0 {
            let Ok(shard) = u32::try_from(shard) else { continue };
            logs.push(Log {
                stream: id,
                shard: ShardId(shard),
                dir: paths.shard(id, ShardId(shard)),
                first_sequence: None,
                mark: None,
                is_clean: false,
                is_online,
            });
        }
    }
    Ok(logs)
}

fn known_log(
    paths: &Paths,
    contents: &Contents,
    stream: &StreamEntry,
    shard: &ShardEntry,
    is_online: bool,
) -> Log {
    Log {
        stream: stream.id,
        shard: shard.id,
        dir: paths.shard(stream.id, shard.id),
        first_sequence: Some(shard.first_sequence),
        mark: contents.marks.get(&(stream.id, shard.id)).copied(),
        is_clean: contents.clean,
        is_online,
    }
}

/// Bytes of a log's segments, as far as the system tells.
fn bytes_of(fs: &dyn Fs, log: &Log) -> u64 {
    let entries = fs.list(&log.dir).at("list", &log.dir, None).unwrap_or_default();
    let segments = entries.iter().filter(|entry| segment_base(entry).is_some());
    let len = |name: &str| fs.open(&log.dir.join(name), Access::Read).and_then(|file| file.len());
    segments.map(|entry| len(&entry.name).unwrap_or(0)).sum()
}
