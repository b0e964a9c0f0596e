//! Traffic: what goes through a stream, what of it is admitted, and what follows from it.
//!
//! ```text
//!   puts, reads --> Traffic --> StreamTraffic --> ShardTraffic    (registry: found once a batch)
//!                                                   | WriteBudget, ReadBudget: admit or refuse
//!                                                   | Load: what went in and out, by the second
//!                                                   | Sketch: which hash keys it came from
//!                                                   v
//!                        every second: scaling::decide --> splits and merges, each with a reason
//!
//!   other operations --> Control: so many calls a second, so many a day
//! ```
//!
//! Everything here is a plain value that is told the time: the monotonic clock's, as a
//! `Duration`. Nothing reads a clock, waits, or knows of doors. What is decided is carried out by
//! others. [`quotas`] lists every limit of the `aws` profile with its source.

pub mod bucket;
pub mod control;
pub mod load;
pub mod quotas;
pub mod read_budget;
pub mod registry;
pub mod scaling;
pub mod sketch;
pub mod throttle;
pub mod write_budget;

pub use self::control::Control;
pub use self::registry::{ShardTraffic, StreamTraffic, Traffic};
pub use self::throttle::Throttle;
