//! The state behind a simulated file system: what is, what would survive, and what is to go
//! wrong. Every method is one step under one lock; the seed decides all that chance decides.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::content::{SECTOR_BYTES, pages};
use super::fault::{Cut, Failed, Moment, Op, Power};
use super::file::FileState;
use super::names::{Change, Ino, Name, Names, ROOT};
use super::random::Random;
use crate::fs::Space;

/// What a disk without [`Fault::Full`](super::Fault) holds, in bytes.
const CAPACITY_BYTES: u64 = 1 << 40;

/// The state of one disk.
pub(super) struct Disk {
    pub(super) random: Random,
    files: BTreeMap<Ino, FileState>,
    dirs: BTreeSet<Ino>,
    names: Names,
    next_ino: Ino,
    locks: BTreeSet<Ino>,
    /// The machine has lost power or the process has ended.
    pub(super) is_dead: bool,
    pub(super) ops: u64,
    /// The same, of each kind.
    pub(super) ops_of: [u64; Op::ALL.len()],
    pub(super) reads: u64,
    pub(super) cut: Option<Cut>,
    /// How many operations, of a kind or of any, until each one that fails; the next is 1.
    pub(super) fails: Vec<(Option<Op>, u64, Errno)>,
    /// How the operation fails that is under way.
    pub(super) failing: Option<Errno>,
    /// What was made to fail so far.
    pub(super) failed: Vec<Failed>,
    /// The write that takes a part of its bytes.
    pub(super) short_at: Option<u64>,
    /// The operations during which nothing can be reserved.
    pub(super) full: Option<Range<u64>>,
    read_fails: BTreeSet<Ino>,
    /// Sectors that cannot be read until they are written.
    bad_sectors: BTreeSet<(Ino, u64)>,
    full_for: BTreeSet<Ino>,
    /// The read that fails.
    pub(super) read_fails_at: Option<u64>,
    /// The read that returns a wrong bit.
    pub(super) read_flips_at: Option<u64>,
    capacity: Option<u64>,
    pub(super) undurable_slices: u64,
    pub(super) retried_syncs: u64,
    pub(super) refusals: u64,
    pub(super) failed_reads: u64,
    /// The file of each read, since someone wants to know.
    pub(super) watched: Option<Vec<PathBuf>>,
}

/// What an operation is about.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    Path(&'a Path),
    File(Ino),
}

impl Disk {
    pub(super) fn new(seed: u64) -> Disk {
        Disk {
            random: Random::new(seed),
            files: BTreeMap::new(),
            dirs: BTreeSet::from([ROOT]),
            names: Names::default(),
            next_ino: ROOT + 1,
            locks: BTreeSet::new(),
            is_dead: false,
            ops: 0,
            ops_of: [0; Op::ALL.len()],
            reads: 0,
            cut: None,
            fails: Vec::new(),
            failing: None,
            failed: Vec::new(),
            short_at: None,
            full: None,
            read_fails: BTreeSet::new(),
            bad_sectors: BTreeSet::new(),
            full_for: BTreeSet::new(),
            read_fails_at: None,
            read_flips_at: None,
            capacity: None,
            undurable_slices: 0,
            retried_syncs: 0,
            refusals: 0,
            failed_reads: 0,
            watched: None,
        }
    }

    /// Counts an operation that begins, and says whether it is the last one.
    pub(super) fn begin(&mut self, op: Op, subject: Subject<'_>) -> Power {
        let (ordinal, of_kind) = (self.ops, self.ops_of[op as usize]);
        self.ops += 1;
        self.ops_of[op as usize] += 1;
        if let Some(full) = &self.full {
            let (begins, ends) = (ordinal == full.start, ordinal >= full.end);
            if begins || ends {
                self.set_free(begins.then_some(0));
            }
            self.full.take_if(|_| ends);
        }
        self.failing = None;
        for (kind, count, errno) in &mut self.fails {
            if kind.is_none_or(|kind| kind == op) {
                *count -= 1;
                if *count == 0 {
                    self.failing = Some(*errno);
                }
            }
        }
        self.fails.retain(|(_, count, _)| *count > 0);
        // A directory that is there needs no space.
        let is_there =
            |subject| matches!(subject, Subject::Path(path) if self.look_up(path).is_ok());
        if op == Op::CreateDir && self.failing == Some(Errno::NOSPC) && is_there(subject) {
            self.failing = None;
        }
        if let Some(errno) = self.failing {
            let path = match subject {
                Subject::Path(path) => path.to_owned(),
                Subject::File(ino) => self.names.path_of(ino).unwrap_or_default(),
            };
            self.refusals += u64::from(errno == Errno::NOSPC);
            self.failed.push(Failed { op, path, is_full: errno == Errno::NOSPC });
        }
        match self.cut {
            Some(Cut::Any(at)) if ordinal >= at => Power::GoesDuring,
            Some(Cut::Kind(kind, at, moment)) if kind == op && of_kind >= at => match moment {
                Moment::Before => Power::GoesBefore,
                Moment::After => Power::GoesAfter,
            },
            _ => Power::Stays,
        }
    }

    /// The disk as a restart after a power cut finds it.
    pub(super) fn after_power_cut(&mut self) -> Disk {
        let rate = self.random.rate();
        let random = &mut self.random;
        let names = self.names.after_power_cut(|| random.survives(rate));
        let survive = |(ino, file): (&Ino, &FileState)| (*ino, file.after_power_cut(random));
        let files = self.files.iter().map(survive).collect();
        self.successor(names, files)
    }

    /// The disk as a new process finds it after the old one has ended.
    pub(super) fn after_kill(&mut self) -> Disk {
        let files = self.files.iter();
        let files = files.map(|(ino, file)| (*ino, file.after_kill())).collect();
        let cut = self.cut.filter(|_| !self.is_dead);
        let (ops, ops_of, reads) = (self.ops, self.ops_of, self.reads);
        let (fails, short_at, full) = (self.fails.clone(), self.short_at, self.full.clone());
        let (read_fails_at, read_flips_at) = (self.read_fails_at, self.read_flips_at);
        // The machine goes on, counts on, and meets what it has to meet.
        Disk {
            ops,
            ops_of,
            reads,
            cut,
            fails,
            short_at,
            full,
            read_fails_at,
            read_flips_at,
            ..self.successor(self.names.clone(), files)
        }
    }

    /// What is wrong with the disk itself stays wrong: it is full, and cannot be read.
    fn successor(&mut self, names: Names, files: BTreeMap<Ino, FileState>) -> Disk {
        self.is_dead = true;
        let mut disk = Disk {
            files,
            dirs: self.dirs.clone(),
            names,
            next_ino: self.next_ino,
            read_fails: self.read_fails.clone(),
            bad_sectors: self.bad_sectors.clone(),
            full_for: self.full_for.clone(),
            capacity: self.capacity,
            undurable_slices: self.undurable_slices,
            retried_syncs: self.retried_syncs,
            refusals: self.refusals,
            failed_reads: self.failed_reads,
            watched: self.watched.take(),
            failed: std::mem::take(&mut self.failed),
            ..Disk::new(self.random.next_u64())
        };
        disk.collect();
        disk
    }

    /// Forgets files that nothing can bring back.
    fn collect(&mut self) {
        let live = self.names.collect();
        self.files.retain(|ino, file| file.handles > 0 || live.contains(ino));
        self.dirs.retain(|ino| live.contains(ino));
    }

    // Names.

    pub(super) fn look_up(&self, path: &Path) -> io::Result<Ino> {
        let mut ino = ROOT;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name.to_owned(),
                Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
            };
            if !self.dirs.contains(&ino) {
                return Err(Errno::NOTDIR.into());
            }
            ino = self.names.get(&Name { dir: ino, name }).ok_or(Errno::NOENT)?;
        }
        Ok(ino)
    }

    fn name(&self, path: &Path) -> io::Result<Name> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::BUSY.into());
        };
        let dir = self.look_up(parent)?;
        self.check_dir(dir)?;
        let name = name.to_owned();
        Ok(Name { dir, name })
    }

    fn check_dir(&self, ino: Ino) -> io::Result<()> {
        if self.dirs.contains(&ino) {
            return Ok(());
        }
        Err(Errno::NOTDIR.into())
    }

    fn check_empty(&self, dir: Ino) -> io::Result<()> {
        if self.names.entries(dir).next().is_none() {
            return Ok(());
        }
        Err(Errno::NOTEMPTY.into())
    }

    fn new_ino(&mut self) -> Ino {
        self.next_ino += 1;
        self.next_ino - 1
    }

    /// A new file with its space reserved; nothing remains of one that does not fit.
    pub(super) fn create(&mut self, path: &Path, len: u64) -> io::Result<Ino> {
        let name = self.name(path)?;
        if self.names.get(&name).is_some() {
            return Err(Errno::EXIST.into());
        }
        let ino = self.new_ino();
        let mut file = FileState::default();
        file.set_len(len);
        self.files.insert(ino, file);
        if let Err(error) = self.reserve(ino, 0, len) {
            self.files.remove(&ino);
            return Err(error);
        }
        self.names.change(Change::Make { name, ino });
        Ok(ino)
    }

    /// Counts a handle of a file.
    pub(super) fn open(&mut self, ino: Ino) -> io::Result<()> {
        self.file_mut(ino)?.handles += 1;
        Ok(())
    }

    pub(super) fn close(&mut self, ino: Ino) {
        if let Some(file) = self.files.get_mut(&ino) {
            // A disk made by a crash has no handles, and none of the old ones reach it.
            file.handles -= 1;
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.name(from)?, self.name(to)?);
        let ino = self.names.get(&from).ok_or(Errno::NOENT)?;
        match self.names.get(&to) {
            Some(replaced) if replaced == ino => return Ok(()),
            Some(replaced) if self.dirs.contains(&replaced) => {
                if !self.dirs.contains(&ino) {
                    return Err(Errno::ISDIR.into());
                }
                self.check_empty(replaced)?;
            }
            Some(_) if self.dirs.contains(&ino) => return Err(Errno::NOTDIR.into()),
            Some(_) | None => {}
        }
        self.names.change(Change::Rename { from, to, ino });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let name = self.name(path)?;
        let ino = self.names.get(&name).ok_or(Errno::NOENT)?;
        if self.dirs.contains(&ino) {
            return Err(Errno::ISDIR.into());
        }
        self.names.change(Change::Remove { name });
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        match self.look_up(path) {
            Ok(ino) if self.dirs.contains(&ino) => Ok(()),
            Ok(_) => Err(Errno::EXIST.into()),
            Err(_) => {
                let name = self.name(path)?;
                let ino = self.new_ino();
                self.dirs.insert(ino);
                self.names.change(Change::Make { name, ino });
                Ok(())
            }
        }
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let name = self.name(path)?;
        let ino = self.names.get(&name).ok_or(Errno::NOENT)?;
        self.check_dir(ino)?;
        self.check_empty(ino)?;
        self.names.change(Change::Remove { name });
        Ok(())
    }

    /// Names in a directory, and whether each is a directory, in order.
    pub(super) fn list(&self, dir: Ino) -> io::Result<Vec<(std::ffi::OsString, Ino, bool)>> {
        self.check_dir(dir)?;
        let entry =
            |(name, ino): (&std::ffi::OsString, Ino)| (name.clone(), ino, self.dirs.contains(&ino));
        Ok(self.names.entries(dir).map(entry).collect())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.look_up(path)?;
        self.check_dir(dir)?;
        if let Some(errno) = self.failing {
            self.names.lose(dir);
            return Err(errno.into());
        }
        self.names.sync(dir);
        self.collect();
        Ok(())
    }

    /// Takes the lock on a file, and says whether that worked.
    pub(super) fn lock(&mut self, ino: Ino) -> bool {
        self.locks.insert(ino)
    }

    pub(super) fn unlock(&mut self, ino: Ino) {
        self.locks.remove(&ino);
    }

    // Files.

    pub(super) fn file(&self, ino: Ino) -> io::Result<&FileState> {
        self.files.get(&ino).ok_or(Errno::ISDIR.into())
    }

    fn file_mut(&mut self, ino: Ino) -> io::Result<&mut FileState> {
        self.files.get_mut(&ino).ok_or(Errno::ISDIR.into())
    }

    pub(super) fn read(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let ordinal = self.reads;
        self.reads += 1;
        if let Some(watched) = &mut self.watched {
            watched.push(self.names.path_of(ino).unwrap_or_default());
        }
        let file = self.file(ino)?;
        let mut bad = self.bad_sectors.range((ino, 0)..=(ino, u64::MAX));
        let is_bad = bad.any(|(_, sector)| sectors(offset, buffer.len() as u64).contains(sector));
        if self.read_fails.contains(&ino) || self.read_fails_at == Some(ordinal) || is_bad {
            self.failed_reads += 1;
            return Err(Errno::IO.into());
        }
        if end(offset, buffer.len() as u64)? > file.current().len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.current().read(offset, buffer);
        if self.read_flips_at == Some(ordinal) && !buffer.is_empty() {
            self.failed_reads += 1;
            let bit = self.random.below(buffer.len() as u64 * 8);
            buffer[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Ok(())
    }

    /// Reads for a slice of a map, and counts it where a power cut could change the bytes.
    pub(super) fn slice(&mut self, ino: Ino, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read(ino, offset, buffer)?;
        if !self.file(ino)?.is_durable(offset, buffer.len() as u64) {
            self.undurable_slices += 1;
        }
        Ok(())
    }

    /// Writes, and says how many bytes were taken.
    pub(super) fn write(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        end(offset, bytes.len() as u64)?;
        let is_short = self.short_at == Some(self.ops_of[Op::Write as usize] - 1);
        let taken = match bytes.len() {
            len if is_short && len > 1 => 1 + self.random.below(len as u64 - 1) as usize,
            len => len,
        };
        let bytes = &bytes[..taken];
        self.reserve(ino, offset, bytes.len() as u64)?;
        if self.failing.is_some() || self.is_dead {
            let mut random = self.random.clone();
            self.file_mut(ino)?.write_torn(offset, bytes, &mut random);
            self.random = random;
            return Err(self.failing.unwrap_or(Errno::IO).into());
        }
        self.file_mut(ino)?.write(offset, bytes);
        self.heal(ino, offset, bytes.len() as u64);
        Ok(taken)
    }

    /// A disk that is told to write a sector it could not read puts it elsewhere.
    fn heal(&mut self, ino: Ino, offset: u64, len: u64) {
        let written = sectors(offset, len);
        self.bad_sectors.retain(|(other, sector)| *other != ino || !written.contains(sector));
    }

    pub(super) fn sync(&mut self, ino: Ino) -> io::Result<()> {
        let failing = self.failing;
        let file = self.file_mut(ino)?;
        if let Some(errno) = failing {
            file.lose_writes();
            return Err(errno.into());
        }
        file.sync();
        Ok(())
    }

    pub(super) fn zero(&mut self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        self.check_inside(ino, offset, len)?;
        self.reserve(ino, offset, len)?;
        self.file_mut(ino)?.clear(offset, len);
        self.heal(ino, offset, len);
        Ok(())
    }

    pub(super) fn release(&mut self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        self.check_inside(ino, offset, len)?;
        self.file_mut(ino)?.release(offset, len);
        Ok(())
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        self.file_mut(ino)?.set_len(len);
        Ok(())
    }

    fn check_inside(&self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        if end(offset, len)? > self.file(ino)?.current().len() {
            return Err(Errno::INVAL.into());
        }
        Ok(())
    }

    // Space.

    /// Reserves the blocks of a range, all or none.
    fn reserve(&mut self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        if self.full_for.contains(&ino) {
            self.refusals += 1;
            return Err(Errno::NOSPC.into());
        }
        let range = pages(offset, len);
        let file = self.file(ino)?;
        if len == 0 || file.blocks.covers(&range) {
            return Ok(());
        }
        let blocks = file.blocks.with(range);
        let more = blocks.bytes() - file.blocks.bytes();
        if self.capacity.is_some() && more > self.space().free {
            self.refusals += 1;
            return Err(Errno::NOSPC.into());
        }
        self.file_mut(ino)?.blocks = blocks;
        Ok(())
    }

    /// A file without a name keeps its space until its last handle is closed.
    fn used(&self) -> u64 {
        let named = self.names.named();
        let held = self.files.iter();
        let held = held.filter(|(ino, file)| file.handles > 0 || named.contains(ino));
        held.map(|(_, file)| file.blocks.bytes()).sum()
    }

    pub(super) fn space(&self) -> Space {
        let total = self.capacity.unwrap_or(CAPACITY_BYTES);
        Space { free: total.saturating_sub(self.used()), total }
    }

    pub(super) fn set_free(&mut self, free_bytes: Option<u64>) {
        self.capacity = free_bytes.map(|free| self.used() + free);
    }

    // What tests do behind the engine's back.

    pub(super) fn flip_bit(&mut self, ino: Ino, offset: u64, bit: u8) -> io::Result<()> {
        self.file_mut(ino)?.flip_bit(offset, bit);
        Ok(())
    }

    pub(super) fn fail_reads(&mut self, ino: Ino) {
        self.read_fails.insert(ino);
    }

    pub(super) fn fail_range(&mut self, ino: Ino, range: Range<u64>) {
        let bad = sectors(range.start, range.end - range.start);
        self.bad_sectors.extend(bad.map(|sector| (ino, sector)));
    }

    pub(super) fn refuse_space(&mut self, ino: Ino) {
        self.full_for.insert(ino);
    }

    pub(super) fn clear_faults(&mut self) {
        self.full_for.clear();
        self.bad_sectors.clear();
        self.fails.clear();
        self.short_at = None;
        self.full = None;
        self.read_fails.clear();
        self.read_fails_at = None;
        self.read_flips_at = None;
        self.capacity = None;
    }

    /// Puts a whole file in place, durable, with the directories that lead to it.
    pub(super) fn place(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
        for dir in ancestors.into_iter().rev() {
            if self.look_up(dir).is_err() {
                let name = self.name(dir)?;
                let ino = self.new_ino();
                self.dirs.insert(ino);
                self.names.make_durable(name, ino);
            }
        }
        let name = self.name(path)?;
        let ino = match self.names.get(&name) {
            Some(ino) => ino,
            None => self.new_ino(),
        };
        self.names.make_durable(name, ino);
        let file = self.files.entry(ino).or_default();
        file.set_len(0);
        file.write(0, bytes);
        file.blocks = file.blocks.with(pages(0, bytes.len() as u64));
        file.sync();
        Ok(())
    }

    /// Cuts or grows a file, durably at once.
    pub(super) fn truncate(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let file = self.file_mut(ino)?;
        file.set_len(len);
        file.sync();
        Ok(())
    }
}

fn end(offset: u64, len: u64) -> io::Result<u64> {
    // The kernel's offsets are signed.
    let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok());
    end.ok_or_else(|| Errno::INVAL.into())
}

/// The sectors that a range touches.
fn sectors(offset: u64, len: u64) -> Range<u64> {
    offset / SECTOR_BYTES..(offset + len).div_ceil(SECTOR_BYTES)
}
