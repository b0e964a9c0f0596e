//! The names of files and directories: formatted and parsed here, and nowhere else.
//!
//! ```text
//! DATA/LOCK                                 held while a process serves the directory
//!      catalog.redb                         streams, shards, consumers, marks
//!      reserve                              space for the catalog when the disk is full
//!      shards/STREAM/SHARD/BASE.seg         numbers in decimal, BASE with twenty digits
//!      spare/NUMBER.seg                     retired segments, to be used again
//!      lost+found/                          what no catalog entry claims
//! ```
//!
//! Paths are made of numbers, never of names.

use std::path::{Path, PathBuf};

use crate::fs::Entry;
use crate::ids::{ShardId, StreamId};
use crate::limits::SEQUENCE_NUMBER_MAX;
use crate::sequence::SequenceNumber;

/// The data directory.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    data: PathBuf,
}

impl Paths {
    pub(crate) fn new(data: &Path) -> Paths {
        Paths { data: data.to_owned() }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("LOCK")
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.data.join("reserve")
    }

    pub(crate) fn shards(&self) -> PathBuf {
        self.data.join("shards")
    }

    pub(crate) fn spare(&self) -> PathBuf {
        self.data.join("spare")
    }

    pub(crate) fn lost_and_found(&self) -> PathBuf {
        self.data.join("lost+found")
    }

    pub(crate) fn stream(&self, stream: StreamId) -> PathBuf {
        self.shards().join(stream.0.to_string())
    }

    pub(crate) fn shard(&self, stream: StreamId, shard: ShardId) -> PathBuf {
        self.stream(stream).join(shard.0.to_string())
    }
}

/// The file name of the segment that begins with `base`.
pub(crate) fn segment_name(base: SequenceNumber) -> String {
    format!("{:020}.seg", base.0)
}

/// The number in a segment's file name, if it is one that a log can reach.
pub(crate) fn parse_segment_name(name: &str) -> Option<SequenceNumber> {
    let digits = name.strip_suffix(".seg")?;
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = whole.then(|| digits.parse().ok())??;
    (number <= SEQUENCE_NUMBER_MAX).then_some(SequenceNumber(number))
}

/// The number in the name of a segment. A directory of such a name is none: it is left alone, and
/// the file whose place it takes is missed.
pub(crate) fn segment_base(entry: &Entry) -> Option<SequenceNumber> {
    parse_segment_name(&entry.name).filter(|_| !entry.is_dir)
}

/// The number that is a directory's whole name, as ids are written.
pub(crate) fn parse_number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    (number.to_string() == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_read_back_and_others_are_not_ours() {
        for base in [1, 42, SEQUENCE_NUMBER_MAX] {
            let name = segment_name(SequenceNumber(base));
            assert_eq!(parse_segment_name(&name), Some(SequenceNumber(base)));
        }
        let foreign =
            ["", ".seg", "1.seg", "00000000000000000001", "0000000000000000000x.seg", "a.seg"];
        for name in foreign {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        for beyond in [SEQUENCE_NUMBER_MAX + 1, u64::MAX] {
            assert_eq!(parse_segment_name(&segment_name(SequenceNumber(beyond))), None);
        }
        assert_eq!(parse_segment_name("99999999999999999999.seg"), None);
        assert_eq!(parse_number("12"), Some(12));
        assert_eq!(parse_number("012"), None);
        assert_eq!(parse_number("+1"), None);
    }
}
