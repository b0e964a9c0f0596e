//! The operations of a simulated run, drawn from a seed.

use std::time::Duration;

use crate::support::Random;

/// One operation. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A stream, whether or not its name is free.
    Create {
        /// Which of a few names.
        name: u8,
        /// How many shards.
        shards: u8,
    },
    /// Deletes a stream, if there is one.
    Delete {
        /// Which of a few names.
        name: u8,
    },
    /// Puts a batch, which is not committed yet.
    Append {
        /// Which of all shards.
        shard: u8,
        /// What is put.
        batch: Batch,
    },
    /// One turn of a committer.
    CommitOne,
    /// Turns of a committer until nothing is staged.
    CommitAll,
    /// All that is due in the background.
    Housekeep,
    /// Time passes on both clocks.
    Advance(Duration),
    /// A reader begins anew.
    Reader {
        /// Which reader.
        slot: u8,
        /// Which of all shards it reads.
        shard: u8,
        /// Where it begins.
        from: u16,
    },
    /// A reader reads one page.
    Read {
        /// Which reader.
        slot: u8,
        /// At most so many records.
        records: u16,
        /// At most so many bytes.
        bytes: u32,
    },
    /// Looks up a time.
    Seek {
        /// Which of all shards.
        shard: u8,
        /// How long ago.
        ago_s: u32,
    },
    /// The power goes at an operation of the disk, counted from now on. It dies with the disk.
    CutAt {
        /// So many operations from now.
        operations: u16,
    },
    /// The process ends, one way or another, and another one begins.
    Restart {
        /// How it ends.
        how: Restart,
        /// The next run acknowledges what is only written.
        os: bool,
    },
    /// A stream changes shape.
    Reshard(Reshard),
    /// The same, and from one of its syncs on the disk fails until it is over.
    FailingReshard {
        /// How.
        reshard: Reshard,
        /// Which sync is the first to fail.
        nth: u8,
    },
    /// Only where faults are asked for.
    Fault(Trouble),
}

/// How a stream changes shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reshard {
    /// A shard becomes two.
    Split {
        /// Which of all open shards.
        shard: u8,
        /// Where in its range.
        at: u64,
    },
    /// A shard and the one behind it become one.
    Merge {
        /// Which of all open shards.
        shard: u8,
    },
    /// The shards of a stream become even.
    Scale {
        /// Which of a few names.
        name: u8,
        /// How many shards there are then.
        shards: u8,
    },
}

/// The records of one append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// How many.
    pub records: u16,
    /// The bytes of the largest ones.
    pub bytes: u32,
    /// Decides their sizes and contents.
    pub seed: u32,
}

/// How a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// A clean stop.
    Stop,
    /// The process dies.
    Kill,
    /// The machine loses power.
    Cut,
}

/// What a disk does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A sync fails.
    Sync {
        /// Which one from now on.
        nth: u8,
    },
    /// A write fails.
    Write {
        /// Which one from now on.
        nth: u8,
    },
    /// A read fails.
    Read {
        /// Which one from now on.
        nth: u8,
    },
    /// Space runs out.
    Full {
        /// What is left.
        free_kib: u16,
    },
    /// All of that ends.
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

impl Reshard {
    fn draw(random: &mut Random) -> Reshard {
        match random.below(5) {
            0..2 => Reshard::Split { shard: random.next() as u8, at: random.next() },
            2..4 => Reshard::Merge { shard: random.next() as u8 },
            _ => Reshard::Scale { name: random.next() as u8, shards: random.next() as u8 },
        }
    }
}

impl Operation {
    /// The next operation of a run; `faults` are among them where they are asked for.
    pub fn draw(random: &mut Random, faults: bool) -> Operation {
        let byte = |random: &mut Random| random.next() as u8;
        match random.below(if faults { 110 } else { 105 }) {
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
            100..105 => Operation::Reshard(Reshard::draw(random)),
            105..107 => Operation::FailingReshard {
                reshard: Reshard::draw(random),
                nth: 1 + byte(random) % 4,
            },
            _ => Operation::Fault(match random.below(10) {
                0..2 => Trouble::Sync { nth: 1 + byte(random) % 12 },
                2..4 => Trouble::Write { nth: 1 + byte(random) % 12 },
                4..6 => Trouble::Full { free_kib: random.below(3000) as u16 },
                6..8 => Trouble::Read { nth: 1 + byte(random) % 40 },
                _ => Trouble::Clear,
            }),
        }
    }
}
