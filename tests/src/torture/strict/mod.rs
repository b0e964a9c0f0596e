//! Tier A: the engine, its catalog included, on a disk that keeps only what was synced.
//!
//! ```text
//!   script: one life in some 300 operations of the disk  <- seed
//!     |  cut before and behind every operation of every kind
//!     v  (in `faults`: fail every operation, fill the disk at every one, fail every read)
//!   life: a client of the engine's API --- events ---> checker, which knows the promises
//!     |
//!   SimFs: unsynced sectors survive in any subset, names apart from bytes
//! ```
//!
//! A *cycle* is a life that is cut, the restart, what goes on after it, another end (a stop or
//! a second cut), and a restart again; in some, the power goes during the recovery as well.

pub(super) mod life;
mod records;
pub(super) mod script;
mod streams;
mod sweep;
mod tails;
pub(super) mod tally;
pub(super) mod trouble;

pub(super) use sweep::CHECK as SWEEP;
pub(super) use tails::CHECK as TAILS;
