//! Records that prove themselves: from its first bytes one knows what all the others must be.
//!
//! ```text
//!   LIFE PRODUCER BATCH INDEX <filling, drawn from these four numbers>
//! ```
//!
//! So nothing has to be remembered of a record but where it was said to stand, and a single
//! wrong byte shows, in whichever record it is.

use md5::{Digest, Md5};

use crate::support::Random;

/// The streams of the load, with their shards.
pub(super) const STREAMS: [(&str, u32); 2] = [("wide", 4), ("deep", 1)];

/// How a producer puts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Door {
    /// One unary call after the other.
    Unary,
    /// One `Produce` call with several batches in flight.
    Produce,
    /// The producer of the client library, record by record.
    Library,
}

/// What a producer of the load does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    /// Index in [`STREAMS`].
    pub(super) stream: usize,
    /// Records of a batch.
    pub(super) records: u32,
    /// Bytes of filling are below this.
    pub(super) bytes: u64,
    pub(super) door: Door,
}

/// The producers of the load: small batches over several shards in all ways that there are,
/// and larger records into one shard, which rolls its segments.
pub(super) const PRODUCERS: [Profile; 5] = [
    Profile { stream: 0, records: 12, bytes: 600, door: Door::Produce },
    Profile { stream: 0, records: 12, bytes: 600, door: Door::Unary },
    Profile { stream: 0, records: 1, bytes: 200, door: Door::Library },
    Profile { stream: 1, records: 6, bytes: 12 << 10, door: Door::Produce },
    Profile { stream: 1, records: 1, bytes: 100, door: Door::Unary },
];

/// Who a record is. Its order is the order in which a producer put.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Identity {
    /// The life of the server in which it was put.
    pub(super) life: u32,
    /// Index in [`PRODUCERS`].
    pub(super) producer: u32,
    pub(super) batch: u64,
    pub(super) index: u32,
}

impl Identity {
    /// Its bytes.
    pub(super) fn data(self) -> Vec<u8> {
        let Identity { life, producer, batch, index } = self;
        let mut bytes = format!("{life} {producer} {batch} {index} ").into_bytes();
        let mut random = Random(self.digest());
        let mut filling = random.below(PRODUCERS[producer as usize].bytes);
        // A large one at times, which takes a frame or a segment of its own.
        if batch % 64 == 63 && index == 0 {
            filling *= 20;
        }
        let end = bytes.len() + filling as usize;
        while bytes.len() < end {
            bytes.extend(random.next().to_le_bytes());
        }
        bytes.truncate(end);
        bytes
    }

    /// Its partition key.
    pub(super) fn key(self) -> String {
        format!("{} {} {}", self.producer, self.batch, self.index)
    }

    /// The shard that its key goes to: the MD5 of a key in a hash space tiled evenly.
    pub(super) fn shard(self) -> u32 {
        let (_, shards) = STREAMS[PRODUCERS[self.producer as usize].stream];
        let hash: [u8; 16] = Md5::digest(self.key().as_bytes()).into();
        let first = u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
        ((first * u64::from(shards)) >> 32) as u32
    }

    /// The number of its call, among all calls to all shards.
    pub(super) fn call(self) -> u64 {
        (u64::from(self.life) << 40) | (u64::from(self.producer) << 36) | self.batch
    }

    /// A number that no other record has, as far as chance allows.
    pub(super) fn digest(self) -> u64 {
        Random(Random(self.call()).next() ^ u64::from(self.index)).next()
    }

    /// Who a record says it is, if what it says is possible and all of it is right.
    pub(super) fn of(key: &str, data: &[u8]) -> Option<Identity> {
        let mut numbers = data.splitn(5, |byte| *byte == b' ');
        let mut next = || std::str::from_utf8(numbers.next()?).ok()?.parse::<u64>().ok();
        let (life, producer, batch, index) = (next()?, next()?, next()?, next()?);
        let (life, index) = (u32::try_from(life).ok()?, u32::try_from(index).ok()?);
        let producer = u32::try_from(producer).ok()?;
        let profile = PRODUCERS.get(producer as usize)?;
        let identity = Identity { life, producer, batch, index };
        let is_right = index < profile.records && identity.key() == key && identity.data() == data;
        is_right.then_some(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_by_its_bytes_and_by_nothing_else() {
        for producer in 0..PRODUCERS.len() as u32 {
            let identity = Identity { life: 7, producer, batch: 63, index: 0 };
            let (key, mut data) = (identity.key(), identity.data());
            assert_eq!(Identity::of(&key, &data), Some(identity));
            assert_eq!(Identity::of("another", &data), None);
            assert_eq!(Identity::of(&key, &data[..data.len() - 1]), None);
            let last = data.len() - 1;
            data[last] ^= 1;
            assert_eq!(Identity::of(&key, &data), None);
            assert!(identity.shard() < 4);
        }
        assert_eq!(Identity::of("", b""), None);
    }
}
