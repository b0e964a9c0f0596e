//! Faults that the disk and the clock make while the power stays: operations that fail, space
//! that runs out, bytes that cannot be read, time that jumps.
//!
//! ```text
//!   script and life of the strict sweep, in trouble: one fault at every operation, or from it on
//!     |                          |
//!     | restarts, power cuts     +--- errors only with cause, logs that halt and say so
//!     v
//!   the fault ends: everything acknowledged is there, and everything is taken again
//! ```
//!
//! They meet every operation, on the simulated disk and clock.

mod clocks;
mod full_disk;
mod places;
mod read_errors;
mod sync_errors;

pub(super) use clocks::CHECK as CLOCKS;
pub(super) use full_disk::CHECK as FULL_DISK;
pub(super) use read_errors::CHECK as READ_ERRORS;
pub(super) use sync_errors::CHECK as SYNC_ERRORS;
