//! Makes a damaged data directory fit to be served without errors: what is lost is put on
//! record, and everything else stays as it is.
//!
//! ```text
//! damaged range      -> bytes to lost+found/, a lost-frame in their place, footer anew
//! missing numbers    -> a small segment with a lost-frame
//! damaged headers    -> file to lost+found/, its numbers as missing ones
//! bad copy or footer -> written again from what is whole
//! ```
//!
//! Nothing readable is given up, and no damaged byte is destroyed. The plan is made without
//! touching anything; applying it can be repeated after a crash, because what is mended is no
//! longer found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::lost::{Lost, Share, end_of_made, rewrite_footer};
use super::survey::{Hole, Log, is_mark_missing, survey};
use super::verify::logs;
use super::{Finding, FindingKind, free_name, lock, read_catalog};
use crate::catalog::{Catalog, Contents, ShardMark};
use crate::error::{IoContext, Result};
use crate::fs::{Access, File, Fs};
use crate::ids::{Incarnation, ShardId, StreamId};
use crate::log::header::{SegmentHeader, ShardIdentity};
use crate::log::index::footer_bytes;
use crate::log::paths::{Paths, segment_name};
use crate::options::Environment;
use crate::sequence::SequenceNumber;

/// Bytes that are copied at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// What is done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepairWork {
    /// A damaged range is kept in `lost+found/`, and put on record as lost.
    RecordRange,
    /// A segment is made that puts missing numbers on record as lost.
    RecordMissing,
    /// A segment without a valid header moves to `lost+found/`.
    MoveAside,
    /// A damaged copy of a header is written again from the other.
    RewriteHeader,
    /// A footer is written again from the frames.
    RewriteFooter,
}

impl RepairWork {
    /// The work in words.
    pub fn describe(self) -> &'static str {
        match self {
            RepairWork::RecordRange => "keep the bytes in lost+found, record the range as lost",
            RepairWork::RecordMissing => "make a segment that records the numbers as lost",
            RepairWork::MoveAside => "move the file to lost+found",
            RepairWork::RewriteHeader => "write the header again from its whole copy",
            RepairWork::RewriteFooter => "write the footer again from the frames",
        }
    }
}

/// One step of a repair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepairStep {
    /// What is done.
    pub work: RepairWork,
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: Option<u64>,
    /// The first number that is gone.
    pub first_lost: Option<SequenceNumber>,
    /// The first number behind those that are gone.
    pub next_readable: Option<SequenceNumber>,
}

/// What a repair does, or did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RepairReport {
    /// In the order in which they are done.
    pub steps: Vec<RepairStep>,
    /// Damage that no step mends, and why.
    pub refused: Vec<Finding>,
    /// Why the catalog cannot be read: it must be rebuilt first, and nothing else is planned.
    pub catalog_lost: Option<String>,
    /// Whether the steps were done.
    pub is_applied: bool,
}

/// Plans the repair of the data directory `data`, and with `apply` does it.
pub fn repair(environment: &Environment, data: &Path, apply: bool) -> Result<RepairReport> {
    let fs = environment.fs.as_ref();
    let paths = Paths::new(data);
    let _lock = lock(fs, data)?;
    let mut report = RepairReport::default();
    let contents = match read_catalog(fs, data)? {
        Ok(contents) => contents,
        Err(found) => {
            report.catalog_lost = Some(found);
            return Ok(report);
        }
    };
    let logs = logs(fs, &paths, Some(&contents), false, &mut Vec::new())?;
    let known = logs.iter().filter(|log| log.first_sequence.is_some());
    let plans: Vec<_> = known.map(|log| (log, Plan::of(fs, log))).collect();
    for (log, plan) in &plans {
        report.steps.extend(plan.tasks.iter().map(|task| task.step(log)));
        report.refused.extend(plan.refused.iter().cloned());
    }
    if apply && !report.steps.is_empty() {
        // The marks go first: a mark that leads to a file which a crash kept from being made is
        // found again as damage; an old one beside the new file would not be.
        let mark = |(log, plan): &(&Log, Plan)| Some((log.stream, log.shard, plan.mark?));
        let marks: Vec<_> = plans.iter().filter_map(mark).collect();
        if !marks.is_empty() {
            let entropy = environment.entropy.as_ref();
            let (catalog, _) = Catalog::open(environment.fs.clone(), data, true, entropy)?;
            catalog.replace_marks(&marks)?;
        }
        for (log, plan) in &plans {
            if !plan.tasks.is_empty() {
                let mender = Mender { environment, fs, paths: &paths, contents: &contents, log };
                mender.apply(&plan.tasks)?;
            }
        }
    }
    report.is_applied = apply;
    Ok(report)
}

/// A hole, and the frames that go into it.
struct Task {
    hole: Hole,
    shares: Vec<Share>,
}

#[derive(Default)]
struct Plan {
    tasks: Vec<Task>,
    refused: Vec<Finding>,
    /// The mark that the log needs when it is mended, if the recorded one then leads nowhere.
    mark: Option<ShardMark>,
}

impl Plan {
    fn of(fs: &dyn Fs, log: &Log) -> Plan {
        let found = survey(fs, log, &mut |_| {});
        let mut plan = Plan::default();
        let mut refused = BTreeSet::new();
        let mut unmended = BTreeSet::new();
        for hole in found.holes {
            let (lost, shares) = match &hole {
                Hole::Range { offset, resume, lost, .. } => {
                    (Some(*lost), lost.divide(resume.map(|resume| resume - offset)))
                }
                Hole::Numbers { lost } => (Some(*lost), lost.divide(None)),
                _ => (None, Some(Vec::new())),
            };
            match (shares, hole) {
                (Some(shares), hole) => plan.tasks.push(Task { hole, shares }),
                (None, hole) => {
                    refused.extend(lost.map(|lost| lost.first));
                    if let Hole::Range { path, .. } = hole {
                        unmended.insert(path);
                    }
                }
            }
        }
        // A footer would leave out what stands behind a place that is not mended. Headers go
        // first, as the way to all else; files move before others take their names.
        plan.tasks.retain(
            |task| !matches!(&task.hole, Hole::Footer { path, .. } if unmended.contains(path)),
        );
        plan.tasks.sort_by_key(|task| match task.hole {
            Hole::Headless { .. } => 0,
            Hole::HeaderCopy { .. } => 1,
            Hole::Range { .. } => 2,
            Hole::Numbers { .. } => 3,
            Hole::Footer { .. } => 4,
        });
        let no_room = found.findings.into_iter().filter(|finding| {
            let is_refused = finding.first_lost.is_some_and(|first| refused.contains(&first));
            is_refused && finding.kind == FindingKind::Damage
        });
        plan.refused = no_room
            .map(|finding| Finding {
                found: format!("{}; its numbers do not fit the place", finding.found),
                ..finding
            })
            .chain(found.hopeless)
            .collect();
        plan.mark = log.mark.and_then(|mark| plan.mark_behind(mark, found.bases));
        plan
    }

    /// The mark behind a segment that is made, if the recorded one will not fit the files any
    /// more. Otherwise it stays: what stands behind it is not known to be durable.
    fn mark_behind(&self, old: ShardMark, mut bases: Vec<SequenceNumber>) -> Option<ShardMark> {
        let mut made = Vec::new();
        for task in &self.tasks {
            match &task.hole {
                Hole::Headless { base, .. } => bases.retain(|other| other != base),
                Hole::Numbers { lost } => made.push(ShardMark {
                    segment_base: lost.first,
                    offset: end_of_made(&task.shares),
                    next_sequence: lost.next,
                    newest_arrival_ms: old.newest_arrival_ms.max(lost.arrival_ms),
                    ..old
                }),
                _ => {}
            }
        }
        let is_missing = is_mark_missing(&old, &bases);
        made.into_iter().find(|mark| {
            let is_behind = mark.segment_base >= old.segment_base;
            mark.next_sequence >= old.next_sequence && (is_behind || is_missing)
        })
    }
}

impl Task {
    fn step(&self, log: &Log) -> RepairStep {
        let (work, file, offset, lost) = match &self.hole {
            Hole::Range { path, offset, lost, .. } => {
                (RepairWork::RecordRange, path.clone(), Some(*offset), Some(lost))
            }
            Hole::Numbers { lost } => {
                let file = log.dir.join(segment_name(lost.first));
                (RepairWork::RecordMissing, file, None, Some(lost))
            }
            Hole::Headless { path, .. } => (RepairWork::MoveAside, path.clone(), None, None),
            Hole::HeaderCopy { path, .. } => (RepairWork::RewriteHeader, path.clone(), None, None),
            Hole::Footer { path, .. } => (RepairWork::RewriteFooter, path.clone(), None, None),
        };
        RepairStep {
            work,
            stream: log.stream,
            shard: log.shard,
            file,
            offset,
            first_lost: lost.map(|lost| lost.first),
            next_readable: lost.map(|lost| lost.next),
        }
    }
}

/// Mends one log.
struct Mender<'a> {
    environment: &'a Environment,
    fs: &'a dyn Fs,
    paths: &'a Paths,
    contents: &'a Contents,
    log: &'a Log,
}

impl Mender<'_> {
    fn apply(&self, tasks: &[Task]) -> Result<()> {
        for dir in [self.paths.lost_and_found(), self.paths.spare()] {
            self.fs.create_dir(&dir).at("create", &dir, None)?;
        }
        self.fs.sync_dir(self.paths.data()).at("sync", self.paths.data(), None)?;
        for task in tasks {
            match &task.hole {
                Hole::Range { path, header, offset, resume, lost } => {
                    self.record_range(path, header, (*offset, *resume), lost, &task.shares)?;
                }
                Hole::Numbers { lost } => self.make_segment(lost, &task.shares)?,
                Hole::Headless { path, base } => self.move_aside(path, *base)?,
                Hole::HeaderCopy { path, header } => {
                    let file = self.open(path)?;
                    file.write_at(0, &header.encode()).at("write", path, 0)?;
                    file.sync().at("sync", path, None)?;
                }
                Hole::Footer { path, header } => {
                    let file = self.open(path)?;
                    grow(file.as_ref(), header).at("grow", path, None)?;
                    rewrite_footer(file.as_ref(), header, path)?;
                }
            }
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<std::sync::Arc<dyn File>> {
        self.fs.open(path, Access::Write).at("open", path, None)
    }

    fn record_range(
        &self,
        path: &Path,
        header: &SegmentHeader,
        (offset, resume): (u64, Option<u64>),
        lost: &Lost,
        shares: &[Share],
    ) -> Result<()> {
        let file = self.open(path)?;
        let area_end = header.segment_bytes - footer_bytes(header.segment_bytes);
        let end = resume.unwrap_or(area_end);
        let (log, base) = (self.log, header.base);
        let stem = format!("{}-{}-{base}-{offset}", log.stream, log.shard.0);
        self.keep(file.as_ref(), path, offset, end, &stem)?;
        grow(file.as_ref(), header).at("grow", path, None)?;
        lost.write(file.as_ref(), header.owner(), offset, end, shares).at("write", path, offset)
    }

    /// Copies a range of a file to `lost+found/`, without the zeros at its end.
    fn keep(&self, file: &dyn File, path: &Path, from: u64, to: u64, stem: &str) -> Result<()> {
        let dir = self.paths.lost_and_found();
        let to = to.min(file.len().at("stat", path, None)?);
        let mut kept = Vec::new();
        let mut at = from;
        while at < to {
            let mut chunk = vec![0; (to - at).min(CHUNK_BYTES) as usize];
            file.read_at(at, &mut chunk).at("read", path, at)?;
            at += chunk.len() as u64;
            kept.extend_from_slice(&chunk);
        }
        kept.truncate(kept.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
        if kept.is_empty() {
            return Ok(());
        }
        let kept_path = free_name(self.fs, &dir, stem, ".bin")?;
        self.place(&kept_path, &kept)
    }

    /// Puts a whole file in place: written and synced in `spare/`, where a start removes what a
    /// crash left, then renamed.
    fn place(&self, to: &Path, bytes: &[u8]) -> Result<()> {
        let waiting = self.paths.spare().join("repair");
        if let Err(error) = self.fs.remove(&waiting)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).at("remove", &waiting, None);
        }
        let file = self.fs.create(&waiting, bytes.len() as u64).at("create", &waiting, None)?;
        file.write_at(0, bytes).at("write", &waiting, 0)?;
        file.sync().at("sync", &waiting, None)?;
        if self.fs.list(to).is_ok() {
            // A directory that somebody has put there. No file takes its place by a rename.
            let stem = to.file_stem().and_then(|stem| stem.to_str()).unwrap_or("directory");
            self.rename(to, &free_name(self.fs, &self.paths.lost_and_found(), stem, ".dir")?)?;
        }
        self.rename(&waiting, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.fs.rename(from, to).at("rename", from, None)?;
        for dir in [to, from].into_iter().filter_map(Path::parent) {
            self.fs.sync_dir(dir).at("sync", dir, None)?;
        }
        Ok(())
    }

    fn move_aside(&self, path: &Path, base: SequenceNumber) -> Result<()> {
        let stem = format!("{}-{}-{base}", self.log.stream, self.log.shard.0);
        let to = free_name(self.fs, &self.paths.lost_and_found(), &stem, ".seg")?;
        self.rename(path, &to)
    }

    /// Makes a segment of lost numbers.
    fn make_segment(&self, lost: &Lost, shares: &[Share]) -> Result<()> {
        let stream_dir = self.paths.stream(self.log.stream);
        for (dir, parent) in [(&stream_dir, &self.paths.shards()), (&self.log.dir, &stream_dir)] {
            self.fs.create_dir(dir).at("create", dir, None)?;
            self.fs.sync_dir(parent).at("sync", parent, None)?;
        }
        let header = SegmentHeader {
            identity: self.identity(),
            base: lost.first,
            incarnation: Incarnation(self.environment.entropy.next_u64()),
            created_ms: self.environment.clock.wall_ms(),
            segment_bytes: 0,
        };
        let bytes = lost.segment(header, shares);
        self.place(&self.log.dir.join(segment_name(lost.first)), &bytes)
    }

    fn identity(&self) -> ShardIdentity {
        let streams = &self.contents.streams;
        let stream = streams.iter().find(|stream| stream.id == self.log.stream);
        let stream = stream.expect("the log was made from the catalog");
        let shard = stream.shards.iter().find(|shard| shard.id == self.log.shard);
        let shard = shard.expect("the log was made from the catalog");
        stream.identity(shard, stream.first_shards())
    }
}

/// Gives a file that was cut its length back. Nobody maps it: the directory is locked.
fn grow(file: &dyn File, header: &SegmentHeader) -> std::io::Result<()> {
    if file.len()? < header.segment_bytes {
        file.set_len(header.segment_bytes)?;
        file.sync()?;
    }
    Ok(())
}
