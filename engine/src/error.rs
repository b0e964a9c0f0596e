//! Everything that can go wrong, as fields and never as a formatted sentence to be searched.
//!
//! The caller's mistakes name the offending value; the world's failures carry operation, file
//! and offset; our own bugs are assertions. Doors translate [`Error`] in one place each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use thiserror::Error as ThisError;

use crate::hash_key::{HashKey, HashKeyRange};
use crate::ids::{ConsumerName, ShardId, StreamId, StreamName};
use crate::sequence::SequenceNumber;

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text that is not a name, an id or a hash key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
pub enum InvalidName {
    /// A name of no or too many bytes.
    #[error("a name has 1 to 128 characters, this one has {bytes} bytes")]
    Length {
        /// Bytes of the refused name.
        bytes: usize,
    },
    /// A name with a character outside `a-z A-Z 0-9 _ . -`.
    #[error("the character at byte {position} is not one of a-z A-Z 0-9 _ . -")]
    Character {
        /// Byte of the first such character.
        position: usize,
    },
    /// Not a shard id.
    #[error("not a shard id such as shardId-000000000000")]
    ShardId,
    /// Not a hash key.
    #[error("not a decimal number in the range [0, 2^128-1]")]
    HashKey,
}

/// A record that no stream takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ThisError)]
pub enum RecordError {
    /// The partition key is empty.
    #[error("the partition key is empty; it has 1 to 256 characters")]
    KeyEmpty,
    /// The partition key is not UTF-8.
    #[error("the partition key is not valid UTF-8")]
    KeyNotUtf8,
    /// The partition key is too long.
    #[error("the partition key has {chars} characters, at most 256 are allowed")]
    KeyTooLong {
        /// Characters of the refused key.
        chars: usize,
    },
    /// Key and data together are too large.
    #[error("partition key and data have {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes of key and data of the refused record.
        bytes: usize,
        /// How many there may be: of the stream, or of any.
        max: usize,
    },
}

/// A failed call to the operating system, with what it was about.
#[derive(Clone, Debug, ThisError)]
#[error("{operation} {}{}: {source}", path.display(), At(*offset))]
pub struct IoFailure {
    /// What was tried: `write`, `sync`, `rename` and so on.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, if the operation has a place.
    pub offset: Option<u64>,
    /// The system's answer.
    pub source: Arc<io::Error>,
}

impl IoFailure {
    /// Whether the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Whether a failed read is the medium's word on these bytes, and not about the file as a whole,
/// the process or the machine: I/O error, checksum error of the disk, the device mapper or the
/// file system.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        [Errno::IO, Errno::NODATA, Errno::ILSEQ, Errno::BADMSG].contains(&errno)
            || is_corrupted(errno)
    })
}

#[cfg(target_os = "linux")]
fn is_corrupted(errno: Errno) -> bool {
    errno == Errno::UCLEAN
}

#[cfg(not(target_os = "linux"))]
fn is_corrupted(_errno: Errno) -> bool {
    false
}

struct At(Option<u64>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " at offset {offset}"))
    }
}

/// Turns an `io::Error` into one that says what was tried, and where.
pub(crate) trait IoContext<T> {
    fn at(self, operation: &'static str, path: &Path, offset: impl Into<Option<u64>>) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path, offset: impl Into<Option<u64>>) -> Result<T> {
        self.map_err(|source| {
            Error::Io(IoFailure {
                operation,
                path: path.to_owned(),
                offset: offset.into(),
                source: Arc::new(source),
            })
        })
    }
}

/// A range of a shard that cannot be read. The rest of the shard is served.
#[derive(Clone, PartialEq, Eq, Debug, ThisError)]
#[error(
    "{}: damage at offset {offset}: {found}; sequence numbers from {first_lost} on are lost, \
     reading goes on at {next_readable}",
    file.display()
)]
pub struct Damage {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The segment file.
    pub file: PathBuf,
    /// Where in the file the damaged frame begins.
    pub offset: u64,
    /// The first sequence number that is lost.
    pub first_lost: SequenceNumber,
    /// Where reading can go on.
    pub next_readable: SequenceNumber,
    /// What was found in place of a frame.
    pub found: &'static str,
}

/// What can go wrong in the engine.
#[derive(Clone, Debug, ThisError)]
pub enum Error {
    /// No stream of that name.
    #[error("stream {name} not found")]
    StreamNotFound {
        /// The name asked for.
        name: StreamName,
    },
    /// A stream of that name exists, or is still being deleted.
    #[error("stream {name} already exists")]
    StreamExists {
        /// The name asked for.
        name: StreamName,
    },
    /// The stream was deleted while it was in use.
    #[error("stream {name} was deleted")]
    StreamDeleted {
        /// The name of the deleted stream.
        name: StreamName,
    },
    /// A deletion or a reshard failed in such a way that the next start may find it made: until
    /// that is taken back, records put into the stream could go with it.
    #[error(
        "whether stream {name} was deleted or resharded is not known while the catalog cannot be \
         written; puts resume by themselves when it can"
    )]
    StreamInDoubt {
        /// The stream.
        name: StreamName,
    },
    /// The stream has no shard of that id.
    #[error("{shard} not found in stream {name}")]
    ShardNotFound {
        /// The stream.
        name: StreamName,
        /// The shard asked for.
        shard: ShardId,
    },
    /// The stream has no consumer of that name.
    #[error("consumer {consumer} not found on stream {name}")]
    ConsumerNotFound {
        /// The stream.
        name: StreamName,
        /// The consumer asked for.
        consumer: ConsumerName,
    },
    /// The stream has a consumer of that name.
    #[error("consumer {consumer} of stream {name} already exists")]
    ConsumerExists {
        /// The stream.
        name: StreamName,
        /// The consumer asked for.
        consumer: ConsumerName,
    },
    /// A count or size outside its limits.
    #[error("{what} is {value}, allowed are {min} to {max}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// Something may not grow further.
    #[error("{what}: at most {max} are allowed")]
    LimitExceeded {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// The stream's shards are being changed by another call.
    #[error("stream {name} is being updated")]
    StreamUpdating {
        /// The stream.
        name: StreamName,
    },
    /// The shard's end is being made. Puts wait for it and go to its children.
    #[error("{shard} is being closed")]
    ShardClosing {
        /// The shard.
        shard: ShardId,
    },
    /// The shard takes no records: others have its place.
    #[error("{shard} is closed")]
    ShardClosed {
        /// The shard.
        shard: ShardId,
    },
    /// A split that would leave a child without hash keys.
    #[error(
        "{shard} owns the hash keys from {} to {}; it cannot be split at {at}",
        range.start, range.end
    )]
    SplitOutside {
        /// The shard.
        shard: ShardId,
        /// The hash keys it owns.
        range: HashKeyRange,
        /// Where it was to be split.
        at: HashKey,
    },
    /// Only shards whose ranges meet can be merged.
    #[error("{shard} and {adjacent} are not an adjacent pair of shards")]
    NotAdjacent {
        /// The shard.
        shard: ShardId,
        /// The shard it was to be merged with.
        adjacent: ShardId,
    },
    /// A starting position that lies in the future.
    #[error("the timestamp {timestamp_ms} lies after the server's time {now_ms} (ms since 1970)")]
    TimestampInFuture {
        /// What was asked for, milliseconds since 1970.
        timestamp_ms: u64,
        /// The server's time, milliseconds since 1970.
        now_ms: u64,
    },
    /// A sequence number that the shard has not reached.
    #[error("sequence number {sequence} lies beyond the end of {shard}")]
    SequenceInFuture {
        /// The shard.
        shard: ShardId,
        /// What was asked for.
        sequence: SequenceNumber,
    },
    /// The shard's staging buffer, or all of them together, are full: try again soon.
    #[error("{shard} takes no more records until its disk has caught up")]
    Busy {
        /// The shard.
        shard: ShardId,
    },
    /// The disk is full. Nothing of the put was kept; puts resume when space returns.
    #[error("the disk is full; puts resume by themselves when space returns")]
    DiskFull,
    /// The log refuses writes after a failed write or sync, until the server is restarted.
    #[error("{shard} of stream {stream} is halted until the server is restarted: {cause}")]
    Halted {
        /// The stream.
        stream: StreamId,
        /// The shard.
        shard: ShardId,
        /// The failure that halted it.
        cause: Arc<str>,
    },
    /// A range that cannot be read.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The engine is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Another process serves this directory.
    #[error("{} is in use by another process; stop it first", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Something else stands where a file or directory of ours has to be.
    #[error("{} is no {wanted}; nothing was changed: move it away and start again", path.display())]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// What has to stand there.
        wanted: &'static str,
    },
    /// The directory was written by a newer version.
    #[error(
        "{} has format version {found}, this program reads up to {known}; use a newer program",
        path.display()
    )]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The catalog is missing or unreadable while there are records.
    #[error(
        "{}: {found}, but there are records; nothing was changed. Stop every server on this \
         directory and run: anabranch repair --rebuild-catalog --apply DIR",
        path.display()
    )]
    CatalogLost {
        /// The catalog file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// The catalog could not be read or written.
    #[error("catalog {}: {found}", path.display())]
    Catalog {
        /// The catalog file.
        path: PathBuf,
        /// What went wrong.
        found: String,
    },
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

impl Error {
    /// Whether the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::DiskFull) || matches!(self, Error::Io(failure) if failure.is_full())
    }

    /// Whether the medium does not give some bytes, which is not the file's or the process's
    /// fault.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Error::Io(failure) if is_unreadable(&failure.source))
    }

    /// Whether a sync failed. It is never tried again, be it for want of space.
    pub(crate) fn is_failed_sync(&self) -> bool {
        matches!(self, Error::Io(failure) if failure.operation == "sync")
    }
}
