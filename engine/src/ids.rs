//! Identifiers, each a type of its own, so that the compiler catches a swapped argument.
//!
//! A *name* is what a user types and is never a path; an *id* is what the disk knows. A
//! [`StreamId`] is one incarnation of a stream: a stream that is deleted and made again under
//! the same name gets a new id, so data of the two can never mix.

use std::fmt;
use std::str::FromStr;

use crate::error::InvalidName;
use crate::limits::NAME_BYTES_MAX;

/// The name of a stream: 1 to 128 of `a-z A-Z 0-9 _ . -` (the API model's pattern).
///
/// The pattern allows `.` and `..`, which is why a name never becomes a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(String);

/// The name of a consumer registered for enhanced fan-out: the same pattern as [`StreamName`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

fn check_name(text: &str) -> Result<(), InvalidName> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(InvalidName::Length { bytes: text.len() });
    }
    match text.bytes().position(|byte| !legal(byte)) {
        Some(position) => Err(InvalidName::Character { position }),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($type:ident) => {
        impl $type {
            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name_type!(StreamName);
name_type!(ConsumerName);

/// One incarnation of a stream. Numbers are handed out by the catalog and never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A shard of a stream: its index, counted up from 0 over the stream's whole life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

impl FromStr for ShardId {
    type Err = InvalidName;

    /// Lenient, as the real service is: `shardId-000000000012`, `shardId-12` and `12` are one shard.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let digits = text.strip_prefix("shardId-").unwrap_or(text);
        if digits.is_empty() || digits.len() > 12 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidName::ShardId);
        }
        digits.parse().map(ShardId).map_err(|_| InvalidName::ShardId)
    }
}

/// Random per segment file. It is mixed into every checksum, so that stale frames of a
/// recycled file can never pass for new ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Incarnation(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_the_api_model() {
        for legal in ["a", "..", ".", "A-z_0.9", &"x".repeat(128)] {
            assert!(legal.parse::<StreamName>().is_ok(), "{legal}");
        }
        for illegal in ["", "a/b", "a b", "ä", "a\0", &"x".repeat(129)] {
            assert!(illegal.parse::<StreamName>().is_err(), "{illegal}");
        }
    }

    #[test]
    fn shard_ids_are_read_leniently_and_printed_in_full() {
        for text in ["shardId-000000000012", "shardId-12", "12", "000000000012"] {
            assert_eq!(text.parse(), Ok(ShardId(12)), "{text}");
        }
        for text in ["", "shardId-", "shard-1", "-1", "+1", "99999999999", "0000000000001"] {
            assert!(text.parse::<ShardId>().is_err(), "{text}");
        }
        assert_eq!(ShardId(12).to_string(), "shardId-000000000012");
    }
}
