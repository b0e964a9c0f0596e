//! Tools for a data directory that no server serves: is it whole, what is lost, make it fit to
//! be served again, and what stands in a segment.
//!
//! - [`verify`] reads everything that has a checksum and tells [`Finding`]s. It changes nothing,
//!   stops at nothing, and is the one tool that may run beside a server.
//! - [`repair`] puts what is lost on record: damaged bytes are kept in `lost+found/`, and a frame
//!   that stands for the lost numbers takes their place, so that readers step over them.
//! - [`rebuild_catalog`] makes a catalog from what the headers of the segments say.
//! - [`dump`] shows one segment frame by frame.
//!
//! The first two walk a log with the same eyes (`survey`), so that what one finds the other
//! mends. Both changing tools only plan until they are told to apply, and both can be run again
//! after a crash in the middle.

mod dump;
mod lineage;
mod lost;
mod payload;
mod rebuild;
mod repair;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, Contents};
use crate::error::{Error, IoContext, Result};
use crate::fs::{Fs, Lock};
use crate::ids::{ShardId, StreamId};
use crate::log::paths::Paths;
use crate::sequence::SequenceNumber;

pub use dump::{DumpItem, DumpedFooter, DumpedFrame, DumpedHeader, DumpedRecord, dump};
pub use rebuild::{RebuildReport, RebuiltStream, rebuild_catalog};
pub use repair::{RepairReport, RepairStep, RepairWork, repair};
pub use verify::{Mode, Progress, VerifyReport, verify};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingKind {
    /// Something is lost, or cannot be read.
    Damage,
    /// Something is not as it was written, and nothing is lost by it.
    Harmless,
    /// Nothing is wrong; worth knowing.
    Note,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FindingKind::Damage => "damage",
            FindingKind::Harmless => "harmless",
            FindingKind::Note => "note",
        })
    }
}

/// Something that was found in a data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub kind: FindingKind,
    /// The stream, where it is one stream's.
    pub stream: Option<StreamId>,
    /// The shard, where it is one shard's.
    pub shard: Option<ShardId>,
    /// The file or directory.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: Option<u64>,
    /// The first sequence number that is lost.
    pub first_lost: Option<SequenceNumber>,
    /// The first one behind it that can be read.
    pub next_readable: Option<SequenceNumber>,
    /// What was found, in words.
    pub found: String,
}

impl Finding {
    fn of(kind: FindingKind, file: impl Into<PathBuf>, found: impl Into<String>) -> Finding {
        Finding {
            kind,
            stream: None,
            shard: None,
            file: file.into(),
            offset: None,
            first_lost: None,
            next_readable: None,
            found: found.into(),
        }
    }
}

/// Refuses what is no data directory: the tools must not leave a lock file in any other.
fn check_is_data_dir(fs: &dyn Fs, data: &Path) -> Result<()> {
    let entries = fs.list(data).at("list", data, None)?;
    let is_ours = |name: &str| name == "shards" || name.starts_with("catalog.redb");
    if entries.iter().any(|entry| is_ours(&entry.name)) {
        return Ok(());
    }
    let found = "there is neither a catalog nor a directory shards: this is no data directory";
    Err(Error::Catalog { path: data.to_owned(), found: found.to_owned() })
}

fn lock(fs: &dyn Fs, data: &Path) -> Result<Box<dyn Lock>> {
    check_is_data_dir(fs, data)?;
    crate::open::lock(fs, &Paths::new(data))
}

/// Reads the catalog without changing it. `Ok(Err)`: it is missing or cannot be trusted, and
/// why.
fn read_catalog(fs: &dyn Fs, data: &Path) -> Result<Result<Contents, String>> {
    match Catalog::look(fs, data) {
        Ok(contents) => Ok(Ok(contents)),
        Err(Error::Catalog { found, .. }) => Ok(Err(found)),
        Err(Error::Io(failure)) => Ok(Err(failure.to_string())),
        Err(error) => Err(error),
    }
}

/// The directories in `dir` whose names are ids, with the ids, and the names of what else there
/// is. A directory that is missing is empty, and so is a file in its place: whoever lists that,
/// or starts, is told of it.
fn numbered_dirs(fs: &dyn Fs, dir: &Path) -> Result<(Vec<u64>, Vec<String>)> {
    let entries = match fs.list(dir) {
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            Vec::new()
        }
        entries => entries.at("list", dir, None)?,
    };
    let (mut numbers, mut others) = (Vec::new(), Vec::new());
    for entry in entries {
        match crate::log::paths::parse_number(&entry.name).filter(|_| entry.is_dir) {
            Some(number) => numbers.push(number),
            None => others.push(entry.name),
        }
    }
    numbers.sort_unstable();
    others.sort_unstable();
    Ok((numbers, others))
}

/// A name in `dir` that nothing has: `name`, or one with a number before its extension.
fn free_name(fs: &dyn Fs, dir: &Path, stem: &str, extension: &str) -> Result<PathBuf> {
    let taken = fs.list(dir).at("list", dir, None)?;
    let free = (0..=taken.len())
        .map(|number| match number {
            0 => format!("{stem}{extension}"),
            number => format!("{stem}.{number}{extension}"),
        })
        .find(|name| !taken.iter().any(|entry| entry.name == *name))
        .expect("more names were tried than there are");
    Ok(dir.join(free))
}
