//! What can be made to go wrong on a simulated disk, and where.

use std::path::PathBuf;

/// A kind of operation that changes the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    /// A file is made and its space reserved.
    Create,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// A range is zeroed.
    Zero,
    /// Blocks are given back.
    Release,
    /// A file's length changes.
    SetLen,
    /// A name changes.
    Rename,
    /// A file's name goes.
    Remove,
    /// A directory is made.
    CreateDir,
    /// A directory goes.
    RemoveDir,
    /// A directory is synced.
    SyncDir,
}

impl Op {
    /// All kinds.
    pub const ALL: [Op; 11] = [
        Op::Create,
        Op::Write,
        Op::Sync,
        Op::Zero,
        Op::Release,
        Op::SetLen,
        Op::Rename,
        Op::Remove,
        Op::CreateDir,
        Op::RemoveDir,
        Op::SyncDir,
    ];
}

/// Whether an operation happens at which the power goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moment {
    /// It does not happen.
    Before,
    /// It happens as a whole, and its caller does not learn of it.
    After,
}

/// What is to go wrong on a [`SimFs`](super::SimFs).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The `nth` operation of its kind from now on fails (the next is 1), for want of space or
    /// with an I/O error. Of a write, any sector may be written. After a sync of a file the
    /// kernel forgets that it has anything to write: the bytes still read as written, and no
    /// later sync makes them durable unless they are written again; and the same for the names
    /// of a directory. Everything else does not happen.
    Fails {
        /// The kind.
        op: Op,
        /// Which one.
        nth: u64,
        /// For want of space.
        is_full: bool,
    },
    /// The `nth` operation from now on fails, whatever its kind (the next is 1), in the way that
    /// [`Fault::Fails`] tells.
    NthFails {
        /// Which one.
        nth: u64,
        /// For want of space.
        is_full: bool,
    },
    /// The `nth` write from now on (the next is 1) takes only the first part of its bytes, and
    /// says so.
    NthWriteIsShort {
        /// Which one.
        nth: u64,
    },
    /// So much can still be reserved. It stays so after a crash.
    Full {
        /// Bytes left.
        free_bytes: u64,
    },
    /// Every write to a file finds the disk full, as it does where nothing is overwritten in
    /// place. It stays so after a crash.
    FullFor {
        /// The file, which must exist.
        path: PathBuf,
    },
    /// Nothing can be reserved from the `nth` operation of any kind on (the next is 1), for so
    /// many operations; then there is room as before.
    FullFrom {
        /// Which one.
        nth: u64,
        /// How many operations.
        lasts: u64,
    },
    /// One bit of a file has changed, durably.
    FlipBit {
        /// The file, which must exist.
        path: PathBuf,
        /// The byte.
        offset: u64,
        /// The bit of that byte, 0 to 7.
        bit: u8,
    },
    /// The medium does not give some bytes of a file, until they are written again. It stays so
    /// after a crash.
    RangeFails {
        /// The file, which must exist.
        path: PathBuf,
        /// The first of them.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A file cannot be read any more. It stays so after a crash.
    ReadFails {
        /// The file, which must exist.
        path: PathBuf,
    },
    /// The `nth` read from now on fails (the next is 1), and none after it.
    NthReadFails {
        /// Which one.
        nth: u64,
    },
    /// One bit of what the `nth` read from now on returns is wrong (the next is 1), though
    /// not on the disk.
    NthReadFlips {
        /// Which one.
        nth: u64,
    },
}

/// An operation that was made to fail by [`Fault::Fails`] or [`Fault::NthFails`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Its kind.
    pub op: Op,
    /// The name under which the file or directory stood then; empty for a file without a name.
    pub path: PathBuf,
    /// For want of space.
    pub is_full: bool,
}

/// Where the power goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// At an operation of whatever kind; chance decides whether it happens, and how much of it.
    Any(u64),
    /// At an operation of its kind.
    Kind(Op, u64, Moment),
}

/// How the power goes at an operation that begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Power {
    /// Not at all.
    Stays,
    /// Before it.
    GoesBefore,
    /// While it is under way: a write is torn, everything else happens or not.
    GoesDuring,
    /// Behind it.
    GoesAfter,
}
