//! Durable storage for streams: append-only logs, one per shard, on one machine.
//!
//! ```text
//! DATA/ LOCK  catalog.redb  reserve  spare/  lost+found/
//!       shards/STREAM/SHARD/00000000000000000001.seg
//!                           | header | frame | frame | ...      zeros | footer |
//! ```
//!
//! A put goes through [`Shard::append`]: it is numbered, stamped and encoded once, into the
//! shard's staging buffer, in the very bytes in which it will be delivered. A committer swaps
//! the buffer out, writes it as one frame, syncs, and only then are the put acknowledged and
//! the records visible. Whatever is staged meanwhile is the next commit.
//!
//! A [`Cursor`] walks the frames below the durable end and hands out ranges of the memory map.
//! What is not right down there is reported as [`error::Damage`] with file, offset and numbers,
//! and the rest is served.
//!
//! The crate is synchronous: it knows no network and no async runtime. Files, clocks and
//! randomness come through [`fs::Fs`], [`clock::Clock`] and [`entropy::Entropy`]; everything
//! that happens in the background is a step that named threads call, or a simulation. The
//! bytes on disk are described in `FORMAT.md`, and nowhere else.

#![deny(unsafe_code)]

mod buffers;
pub mod catalog;
pub mod clock;
mod commit;
mod engine;
pub mod entropy;
pub mod error;
pub mod fs;
pub mod hash_key;
mod housekeeping;
pub mod ids;
pub mod limits;
mod log;
#[cfg(not(feature = "mutants"))]
mod mutant;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod offline;
mod open;
mod options;
mod reader;
pub mod record;
mod removal;
mod reserve;
pub mod reshard;
mod retention;
pub mod sequence;
pub mod settings;
mod shard;
mod shards;
mod state;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod ticket;

pub use catalog::{FORMAT as FORMAT_VERSION, ShardClosed};
pub use engine::Engine;
pub use error::{Damage, Error, Result};
pub use limits::SegmentBytes;
pub use log::cursor::{Page, ReadLimit};
pub use log::header::SEGMENT_FORMAT_VERSION;
pub use log::writer::Durability;
pub use options::{EngineOptions, Environment, OpenReport};
pub use reader::Cursor;
pub use settings::{AccountSettings, StreamSettings};
pub use shard::{Progress, Shard, Watermarks};
pub use shards::Shards;
pub use stats::{Histogram, Stats};
pub use stream::{Consumer, Stream};
pub use ticket::{AppendTicket, Appended};
