//! What an engine is opened with, and what opening found.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::entropy::{Entropy, SystemEntropy};
use crate::error::Damage;
use crate::fs::{Fs, ReadMode, RealFs};
use crate::limits::SegmentBytes;
use crate::log::writer::Durability;

/// What an engine is opened with.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The data directory; made if missing.
    pub data: PathBuf,
    /// When a put is acknowledged.
    pub durability: Durability,
    /// Files that may be open for reading while no reader is in the middle of them. Each
    /// costs two file descriptors and a map.
    pub open_segments_max: usize,
    /// Files that may be open for writing while nothing is being committed to them. Each costs
    /// a file descriptor.
    pub open_writers_max: usize,
    /// Logs that are recovered at the same time. Each waits for a sync or two, and a disk does
    /// several of them at once: more threads than cores pay.
    pub recovery_threads: usize,
    /// How large segments are. Files of any size are read; no one has a reason to set this but
    /// a test, in which small segments make a roll and a recycled file cheap.
    pub segment_bytes: SegmentBytes,
}

impl EngineOptions {
    /// The defaults for a data directory: durable before acknowledged.
    pub fn new(data: impl Into<PathBuf>) -> EngineOptions {
        EngineOptions {
            data: data.into(),
            durability: Durability::Fsync,
            open_segments_max: 256,
            open_writers_max: 256,
            recovery_threads: 8,
            segment_bytes: SegmentBytes::default(),
        }
    }

    /// Shares out the file descriptors of a process that may have `files_max` of them: a
    /// quarter for writing, a quarter for reading (an open segment has two), the rest for
    /// connections.
    #[must_use]
    pub fn with_files_max(self, files_max: u64) -> EngineOptions {
        let share = |part: u64, most| usize::try_from((files_max / part).clamp(4, most));
        let whole = "a number of at most 4,096";
        EngineOptions {
            open_segments_max: share(8, 512).expect(whole),
            open_writers_max: share(4, 4096).expect(whole),
            ..self
        }
    }
}

/// The seams to the outside: replaced as a whole in a simulated run.
#[derive(Clone)]
pub struct Environment {
    /// Files.
    pub fs: Arc<dyn Fs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Environment {
    /// The machine's own.
    pub fn system(read_mode: ReadMode) -> Environment {
        Environment {
            fs: Arc::new(RealFs::new(read_mode)),
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// The last stop was clean.
    pub clean: bool,
    /// Streams.
    pub streams: usize,
    /// Shards of all streams.
    pub shards: usize,
    /// Bytes read behind the recorded durable ends.
    pub scanned_bytes: u64,
    /// Bytes of torn tails that were cut.
    pub truncated_bytes: u64,
    /// What cannot be read. The rest is served.
    pub damage: Vec<Damage>,
    /// Directories that no catalog entry claims, where they are now.
    pub lost_and_found: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}
