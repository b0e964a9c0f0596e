//! Every limit of the engine, with its unit and its reason. A number that is frozen stands on
//! disk or is promised by the API model and may not change without a new format version.

/// Bytes of a stream's or consumer's name (API model: 1 to 128).
pub const NAME_BYTES_MAX: usize = 128;

/// Characters of a partition key (API model: 1 to 256 Unicode characters).
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

/// Bytes of data and partition key of one record that any stream may allow: 10 MiB (service). Each
/// stream has a limit of its own, of [`RECORD_KIB_MIN`] to [`RECORD_KIB_MAX`].
pub const RECORD_BYTES_MAX: usize = RECORD_KIB_MAX as usize * 1024;

/// KiB of data and partition key that a stream allows a record at least, and unless it is told
/// otherwise (API model: `MaxRecordSizeInKiB`).
pub const RECORD_KIB_MIN: u32 = 1024;
/// See [`RECORD_KIB_MIN`]: the most.
pub const RECORD_KIB_MAX: u32 = 10_240;

/// Records of one PutRecords call (API model: 500).
pub const BATCH_RECORDS_MAX: usize = 500;

/// Bytes of data and partition keys of one PutRecords call: 10 MiB.
pub const BATCH_BYTES_MAX: usize = 10 << 20;

/// Shards of one stream. The service's own ceiling is 10,000 per UpdateShardCount.
pub const SHARDS_PER_STREAM_MAX: u32 = 10_000;

/// Hours that records are kept: default, least and most (API model and service).
pub const RETENTION_HOURS_DEFAULT: u32 = 24;
/// See [`RETENTION_HOURS_DEFAULT`].
pub const RETENTION_HOURS_MIN: u32 = 24;
/// See [`RETENTION_HOURS_DEFAULT`]: 365 days.
pub const RETENTION_HOURS_MAX: u32 = 8760;

/// Registered consumers of one stream (service: 20).
pub const CONSUMERS_PER_STREAM_MAX: usize = 20;

/// MiB/s that a stream may be kept warm for (service: 10 GiB/s).
pub const WARM_THROUGHPUT_MIB_S_MAX: u32 = 10 << 10;

/// Tags of a stream or a consumer (service: 50).
pub const TAGS_MAX: usize = 50;

/// Characters of a tag's key (API model: 1 to 128 Unicode characters).
pub const TAG_KEY_CHARS_MAX: usize = 128;

/// Characters of a tag's value (API model: 0 to 256 Unicode characters).
pub const TAG_VALUE_CHARS_MAX: usize = 256;

/// Bytes of a resource policy: 20 KiB, what the service's other resource policies may have. The
/// API model has no limit.
pub const POLICY_BYTES_MAX: usize = 20 << 10;

/// Records of one page (API model: 10,000).
pub const PAGE_RECORDS_MAX: usize = 10_000;

/// Payload bytes of one frame. **Frozen.** Holds the largest batch: 10 MiB of keys and data
/// plus at most 64 bytes of encoding for each of 500 records, rounded up to 11 MiB.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 11 << 20;

/// Bytes staged in one shard before its producers wait. A commit gains nothing above 4 MiB
/// (a sync of 4 MiB runs at 3.9 GB/s where one of 1 MiB runs at 3.1). Below it a batch may go
/// beyond it as far as one frame reaches, and an empty buffer takes a batch of any legal size,
/// so that small batches cannot keep a large one out.
pub const STAGING_SHARD_BYTES: usize = 4 << 20;

/// Bytes staged in all shards together. What is being committed comes on top: at most one frame
/// for each committer.
pub const STAGING_TOTAL_BYTES: usize = 64 << 20;

/// Bytes of staging buffers that are kept for the next shard that needs one: two commits of a
/// shard that is put to as fast as it takes, at the size that a doubling buffer then has, or some
/// dozens of usual ones.
pub const STAGING_KEPT_BYTES: usize = 16 << 20;

/// Bytes of the first segment of a shard; each next one is four times larger up to
/// [`SEGMENT_BYTES_MAX`], so that an idle shard holds little and a busy one rolls seldom.
pub const SEGMENT_BYTES_FIRST: u64 = 256 << 10;

/// Bytes of a full-size segment: at 100 MB/s a shard rolls every 0.6 s, and retention gives
/// space back in steps small against a day's data.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentBytes {
    /// The first of a shard; each next one is four times larger.
    pub first: u64,
    /// A full-size one, the only size that is recycled. Powers of two of 64 KiB and more.
    pub max: u64,
}

impl Default for SegmentBytes {
    fn default() -> Self {
        SegmentBytes { first: SEGMENT_BYTES_FIRST, max: SEGMENT_BYTES_MAX }
    }
}

/// Part of the retention period after which an active segment is sealed whatever its size, so
/// that a quiet shard gives its old records back at most this fraction late.
pub const SEGMENT_AGE_FRACTION: u64 = 24;

/// Payload bytes between two entries of the sparse index.
pub const INDEX_INTERVAL_BYTES: u64 = 64 << 10;

/// Durable bytes of one shard between two records of its durable end: the most that an
/// unclean open has to scan and rewrite for a shard, plus one commit.
pub const DURABLE_END_INTERVAL_BYTES: u64 = 8 << 20;

/// Durable bytes of all shards together between two records of their durable ends: a thousand
/// busy shards have no more to be scanned and rewritten after a crash than a few have. It is what
/// a disk of 400 MB/s reads in a sixth of a second; at that speed the ends are recorded as often
/// as housekeeping looks.
pub const DURABLE_END_TOTAL_BYTES: u64 = 64 << 20;

/// In durability `os`, bytes of one shard that may be written and not synced: past it the
/// commit syncs in line. It bounds what a power cut can take.
pub const UNSYNCED_BYTES_MAX: u64 = 32 << 20;

/// The highest number that a record can have. At ten million records a second it is reached after
/// 29,000 years: a file name or a frame that says more was written by someone else. **Frozen.**
pub const SEQUENCE_NUMBER_MAX: u64 = (1 << 63) - 1;

/// Numbers that an unclean open skips where commits were not synced: above the count of
/// records that [`UNSYNCED_BYTES_MAX`] plus one frame can hold (an encoded record has at
/// least 20 bytes: 2.3 million), so that a number a client saw is never used again.
pub const UNSYNCED_NUMBERS_SKIPPED: u64 = 1 << 22;

const _: () = assert!(
    UNSYNCED_NUMBERS_SKIPPED
        > (UNSYNCED_BYTES_MAX + FRAME_PAYLOAD_BYTES_MAX as u64) / RECORD_ENCODED_BYTES_MIN
);

/// Numbers that an unclean open skips where the end of a log is lost: a file that is gone may
/// have held more than was recorded. Above the count of records in a full-size segment (at least
/// 20 bytes each: 3.4 million).
pub const LOST_NUMBERS_SKIPPED: u64 = 1 << 22;

const _: () = assert!(LOST_NUMBERS_SKIPPED > SEGMENT_BYTES_MAX / RECORD_ENCODED_BYTES_MIN);

/// Bytes of the smallest encoded record, one without key and data.
const RECORD_ENCODED_BYTES_MIN: u64 = 20;

/// Retired full-size segments kept for reuse in `spare/`: 512 MiB at most.
pub const SPARE_SEGMENTS_MAX: usize = 8;

/// Bytes of the reserve file that is given up when the disk is full, so that the catalog and
/// retention can still write.
pub const RESERVE_BYTES: u64 = 16 << 20;

/// Steps of the wall clock of up to this many milliseconds are
/// followed at once; a larger one is a jump (see `clock`).
pub const CLOCK_STEP_MS_MAX: u64 = 60_000;

/// Milliseconds for which a jump of the wall clock must hold before stamps follow it.
pub const CLOCK_JUMP_CONFIRM_MS: u64 = 600_000;

/// Milliseconds for which a shard iterator is valid (service: 300 s).
pub const ITERATOR_LIFE_MS: u64 = 300_000;
