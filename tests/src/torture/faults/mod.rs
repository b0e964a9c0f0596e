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
//! Each check has a part on the simulated disk and clock, which meets every operation, and a
//! part in which the kernel makes the fault and the program as it is shipped meets it.

mod clocks;
mod clocks_real;
mod fills;
mod full_disk;
mod full_disk_real;
mod places;
mod read_errors;
mod served;
mod small_disk;
mod sync_errors;
mod sync_errors_real;

pub(super) use clocks::CHECK as CLOCKS;
pub(super) use clocks_real::CHECK as CLOCKS_REAL;
pub(super) use full_disk::CHECK as FULL_DISK;
pub(super) use full_disk_real::CHECK as FULL_DISK_REAL;
pub(super) use read_errors::CHECK as READ_ERRORS;
pub(super) use sync_errors::CHECK as SYNC_ERRORS;
pub(super) use sync_errors_real::CHECK as SYNC_ERRORS_REAL;
