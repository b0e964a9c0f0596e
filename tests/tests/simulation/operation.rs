//! The operations of a simulated run, drawn from a seed or by proptest.

use std::time::Duration;

use proptest::prelude::*;

use crate::support::Random;

/// One operation. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Create {
        name: u8,
        shards: u8,
    },
    Delete {
        name: u8,
    },
    Append {
        shard: u8,
        batch: Batch,
    },
    CommitOne,
    CommitAll,
    Housekeep,
    Advance(Duration),
    Reader {
        slot: u8,
        shard: u8,
        from: u16,
    },
    Read {
        slot: u8,
        records: u16,
        bytes: u32,
    },
    Seek {
        shard: u8,
        ago_s: u32,
    },
    /// From now on; it dies with the disk.
    CutAt {
        operations: u16,
    },
    Restart {
        how: Restart,
        os: bool,
    },
    /// Only where faults are asked for.
    Fault(Trouble),
}

/// The records of one append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub(crate) records: u16,
    pub(crate) bytes: u32,
    pub(crate) seed: u32,
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Restart {
    Stop,
    Kill,
    Cut,
}

/// What a disk does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    Sync { nth: u8 },
    Write { nth: u8 },
    Full { free_kib: u16 },
    Clear,
}

impl Batch {
    /// Mostly small; sometimes many records, sometimes large ones, sometimes more than a
    /// staging buffer holds.
    fn draw(random: &mut Random) -> Batch {
        let (records, bytes) = match random.below(100) {
            0..60 => (1 + random.below(8), random.below(300)),
            60..75 => (1 + random.below(3), random.below(20_000)),
            75..90 => (1 + random.below(500), random.below(200)),
            90..98 => (1 + random.below(3), random.below(300 << 10)),
            _ => (15 + random.below(20), (250 << 10) + random.below(50 << 10)),
        };
        Batch { records: records as u16, bytes: bytes as u32, seed: random.next() as u32 }
    }
}

impl Operation {
    pub(crate) fn draw(random: &mut Random, faults: bool) -> Operation {
        let byte = |random: &mut Random| random.next() as u8;
        match random.below(if faults { 103 } else { 100 }) {
            0..3 => Operation::Create { name: byte(random), shards: byte(random) },
            3 => Operation::Delete { name: byte(random) },
            4..37 => Operation::Append { shard: byte(random), batch: Batch::draw(random) },
            37..49 => Operation::CommitOne,
            49..61 => Operation::CommitAll,
            61..69 => Operation::Housekeep,
            69..77 => Operation::Advance(match random.below(20) {
                0 => Duration::from_secs(random.below(3 * 86_400)),
                1..5 => Duration::from_secs(random.below(3600)),
                5..12 => Duration::from_secs(random.below(70)),
                _ => Duration::from_millis(random.below(1500)),
            }),
            77..81 => Operation::Reader {
                slot: byte(random),
                shard: byte(random),
                from: random.next() as u16,
            },
            81..94 => {
                let bits = 4 + random.below(18);
                Operation::Read {
                    slot: byte(random),
                    records: 1 + random.below(700) as u16,
                    bytes: random.below(1 << bits) as u32,
                }
            }
            94..96 => Operation::Seek { shard: byte(random), ago_s: random.below(90_000) as u32 },
            96..98 => Operation::CutAt { operations: random.below(60) as u16 },
            98..100 => Operation::Restart {
                how: match random.below(3) {
                    0 => Restart::Stop,
                    1 => Restart::Kill,
                    _ => Restart::Cut,
                },
                os: random.below(3) == 0,
            },
            _ => Operation::Fault(match random.below(8) {
                0..2 => Trouble::Sync { nth: 1 + byte(random) % 12 },
                2..4 => Trouble::Write { nth: 1 + byte(random) % 12 },
                4..6 => Trouble::Full { free_kib: random.below(3000) as u16 },
                _ => Trouble::Clear,
            }),
        }
    }

    /// The same for proptest: a seed decides the fields, so that shrinking drops operations.
    pub(crate) fn strategy() -> impl Strategy<Value = Operation> {
        any::<u64>().prop_map(|seed| Operation::draw(&mut Random(seed), false))
    }
}
