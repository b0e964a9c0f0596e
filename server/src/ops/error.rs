//! Why an operation was refused: one type for every door.
//!
//! An [`OpError`] holds a [`Kind`], which says what every door calls it (see
//! [`super::kind::TABLE`]), and the values concerned as fields, so that no client has to parse the
//! message. Where the real service's words are known, they are the message. Errors of the engine
//! become refusals here and nowhere else; what the caller cannot act on becomes `InternalFailure`
//! and goes to the log.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use anabranch_engine::error::{Damage, Error};

pub use super::kind::Kind;

/// What an operation gives back.
pub type Result<T, E = OpError> = std::result::Result<T, E>;

/// A refusal.
#[derive(Clone, Debug)]
pub struct OpError {
    /// What kind of refusal it is.
    pub kind: Kind,
    /// The reason in words, for people.
    pub message: String,
    /// The field of the request that is at fault.
    pub field: Option<Cow<'static, str>>,
    /// The values concerned, by name.
    pub metadata: Vec<(&'static str, String)>,
    /// How long to wait before trying again, where that makes sense.
    pub retry_after: Option<Duration>,
}

/// How long a throttled producer is asked to wait: some commits of a slow disk.
const RETRY_THROTTLED: Duration = Duration::from_millis(100);
/// How long a producer is asked to wait for space on the disk, which people have to make.
const RETRY_DISK_FULL: Duration = Duration::from_secs(5);

impl OpError {
    /// A refusal without any values.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        OpError {
            kind,
            message: message.into(),
            field: None,
            metadata: Vec::new(),
            retry_after: match kind {
                Kind::Throttled => Some(RETRY_THROTTLED),
                Kind::DiskFull => Some(RETRY_DISK_FULL),
                _ => None,
            },
        }
    }

    /// A field whose value is not allowed, for a reason in words.
    pub fn invalid(field: impl Into<Cow<'static, str>>, why: impl fmt::Display) -> Self {
        let field = field.into();
        let mut error = OpError::new(Kind::InvalidArgument, format!("{field}: {why}"));
        error.field = Some(field);
        error
    }

    /// A field whose value is not allowed, in the real service's own words.
    pub fn in_its_words(
        kind: Kind,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        let mut error = OpError::new(kind, message);
        error.field = Some(field.into());
        error
    }

    /// A text that is not allowed; it is shown, but never at length.
    pub fn invalid_text(field: &'static str, text: &str, why: impl fmt::Display) -> Self {
        let shown = shown(text);
        OpError::invalid(field, format_args!("\"{shown}\": {why}")).with("value", shown)
    }

    /// A number outside its limits.
    pub fn out_of_range(field: &'static str, value: u64, min: u64, max: u64) -> Self {
        OpError::invalid(field, format_args!("is {value}, allowed are {min} to {max}"))
            .with("value", value.to_string())
            .with("min", min.to_string())
            .with("max", max.to_string())
    }

    /// What a dry run gets that would have been carried out.
    pub fn dry_run() -> Self {
        OpError::new(Kind::DryRun, "Request would have succeeded, but DryRun flag is set.")
    }

    /// The refusal that a server that is going away gives.
    pub fn shutting_down() -> Self {
        OpError::new(Kind::ShuttingDown, "the server is shutting down")
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.metadata.push((name, value.into()));
        self
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// A text from outside, fit for a message: printable and at most 64 characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A sequence number from outside, in full where it is one by the API model's pattern.
pub(super) fn shown_number(text: &str) -> String {
    const DIGITS_MAX: usize = 129;
    match text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.to_owned(),
        false => shown(text),
    }
}

impl From<Error> for OpError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::StreamNotFound { name } | Error::StreamDeleted { name } => {
                OpError::new(Kind::ResourceNotFound, message).with("stream_name", name.as_str())
            }
            Error::ShardNotFound { name, shard } => OpError::new(Kind::ResourceNotFound, message)
                .with("stream_name", name.as_str())
                .with("shard_id", shard.to_string()),
            Error::ConsumerNotFound { name, consumer } => {
                OpError::new(Kind::ResourceNotFound, message)
                    .with("stream_name", name.as_str())
                    .with("consumer_name", consumer.as_str())
            }
            Error::StreamExists { name } => {
                OpError::new(Kind::AlreadyExists, message).with("stream_name", name.as_str())
            }
            Error::ConsumerExists { name, consumer } => OpError::new(Kind::AlreadyExists, message)
                .with("stream_name", name.as_str())
                .with("consumer_name", consumer.as_str()),
            Error::OutOfRange { what, value, min, max } => {
                OpError::out_of_range(what, value, min, max)
            }
            Error::LimitExceeded { max, .. } => {
                OpError::new(Kind::LimitExceeded, message).with("max", max.to_string())
            }
            Error::StreamUpdating { name } => {
                OpError::new(Kind::ResourceInUse, message).with("stream_name", name.as_str())
            }
            Error::ShardClosed { shard } | Error::SplitOutside { shard, .. } => {
                OpError::new(Kind::InvalidArgument, message).with("shard_id", shard.to_string())
            }
            Error::NotAdjacent { shard, adjacent } => OpError::new(Kind::InvalidArgument, message)
                .with("shard_id", shard.to_string())
                .with("adjacent_shard_id", adjacent.to_string()),
            Error::TimestampInFuture { timestamp_ms, now_ms } => {
                timestamp_in_future("timestamp_ms", timestamp_ms, now_ms)
            }
            Error::SequenceInFuture { shard, sequence } => {
                OpError::new(Kind::InvalidArgument, message)
                    .with("shard_id", shard.to_string())
                    .with("sequence_number", sequence.to_string())
            }
            Error::Busy { shard } | Error::ShardClosing { shard } => {
                OpError::new(Kind::Throttled, message).with("shard_id", shard.to_string())
            }
            Error::StreamInDoubt { name } => {
                OpError::new(Kind::Throttled, message).with("stream_name", name.as_str())
            }
            Error::Halted { shard, .. } => {
                // The cause names files of the machine; it is for the server's log.
                let message = format!("{shard} takes no records until the server is restarted");
                OpError::new(Kind::LogHalted, message).with("shard_id", shard.to_string())
            }
            Error::Damage(damage) => data_loss(&damage),
            Error::NewerFormat { path, found, known } => newer_format(&path, found, known),
            Error::ShuttingDown => OpError::shutting_down(),
            error if error.is_full() => OpError::new(Kind::DiskFull, Error::DiskFull.to_string()),
            _ => {
                tracing::error!(error = %message, "an operation failed");
                OpError::new(Kind::InternalFailure, "the server failed; its log says why")
            }
        }
    }
}

/// A starting position in the future.
pub(crate) fn timestamp_in_future(field: &'static str, timestamp_ms: u64, now_ms: u64) -> OpError {
    let message = format!(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
         timestampInMillis: {timestamp_ms}, currentTimestampInMillis: {now_ms}"
    );
    OpError::in_its_words(Kind::InvalidArgument, field, message)
        .with("timestamp_ms", timestamp_ms.to_string())
        .with("now_ms", now_ms.to_string())
}

fn data_loss(damage: &Damage) -> OpError {
    let file = below_data(&damage.file);
    let Damage { offset, first_lost, next_readable, found, .. } = damage;
    let message = format!(
        "{file}: damage at offset {offset}: {found}; records from {first_lost} on are lost, \
         reading goes on at {next_readable}"
    );
    OpError::new(Kind::DataLoss, message)
        .with("shard_id", damage.shard.to_string())
        .with("first_lost", first_lost.to_string())
        .with("next_readable", next_readable.to_string())
        .with("file", file)
        .with("offset", offset.to_string())
}

fn newer_format(path: &Path, found: u32, known: u32) -> OpError {
    tracing::error!(file = %path.display(), found, known, "a file has a newer format");
    let file = below_data(path);
    let message = format!(
        "{file} has format version {found}, this server reads up to {known}; it needs the \
         program that wrote the file"
    );
    OpError::new(Kind::NewerFormat, message)
        .with("file", file)
        .with("format_version", found.to_string())
        .with("format_version_known", known.to_string())
}

/// A segment's path from the data directory down, which is `shards/...`: where the directory
/// stands on the machine is not the client's business.
fn below_data(path: &Path) -> String {
    let parts: Vec<_> = path.components().collect();
    let start = parts.iter().rposition(|part| part.as_os_str() == "shards");
    let start = start.unwrap_or(parts.len().saturating_sub(1));
    let below: std::path::PathBuf = parts[start..].iter().collect();
    below.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use anabranch_engine::ids::{ShardId, StreamId};
    use anabranch_engine::sequence::SequenceNumber;

    use super::*;

    #[test]
    fn damage_says_where_without_naming_the_data_directory() {
        let error = OpError::from(Error::Damage(Damage {
            stream: StreamId(1),
            shard: ShardId(2),
            file: "/srv/shards/data/shards/1/2/00000001.seg".into(),
            offset: 4096,
            first_lost: SequenceNumber(7),
            next_readable: SequenceNumber(9),
            found: "a bad checksum",
        }));
        assert_eq!(error.kind, Kind::DataLoss);
        assert!(!error.message.contains("/srv"), "{}", error.message);
        let value = |name| {
            let found = error.metadata.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("file"), Some("shards/1/2/00000001.seg"));
        assert_eq!(value("first_lost"), Some("7"));
        assert_eq!(value("next_readable"), Some("9"));
        assert_eq!(value("offset"), Some("4096"));
    }

    #[test]
    fn a_text_from_outside_is_never_shown_at_length_or_raw() {
        let error = OpError::invalid_text("stream_name", &"\0".repeat(1 << 20), "no name");
        assert!(error.message.len() < 1000);
        assert!(!error.message.contains('\0'));
    }

    #[test]
    fn a_newer_format_is_named_with_its_version() {
        let path = "/var/lib/anabranch/shards/1/0/00000000000000000001.seg".into();
        let error = OpError::from(Error::NewerFormat { path, found: 2, known: 1 });
        assert_eq!(error.kind, Kind::NewerFormat);
        assert!(error.message.starts_with("shards/1/0/"), "{}", error.message);
        assert!(error.metadata.contains(&("format_version", "2".to_owned())));
    }

    #[test]
    fn a_full_disk_and_a_busy_one_say_how_long_to_wait() {
        assert!(OpError::from(Error::DiskFull).retry_after.is_some());
        let busy = Error::Busy { shard: ShardId(0) };
        assert!(OpError::from(busy).retry_after.is_some());
    }
}
