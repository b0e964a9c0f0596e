//! Random operations on the engine over a simulated disk, against a model in memory.
//!
//! ```text
//!   seed or proptest -> operations -> Simulation -> Engine over SimFs, ManualClock, Seeded
//!                                        |
//!                                        +-> Model: what was put, acknowledged, shown, lost
//! ```
//!
//! What holds is stated in `model`. The tests decide which runs there are; a run that fails
//! panics and prints its seed. With `ANABRANCH_SIM_VERBOSE` in the environment every operation
//! is printed before it happens.

mod faults;
mod model;
mod operation;
mod run;

pub use faults::flip_some;
pub(crate) use model::pool;
pub use operation::{Batch, Operation, Reshard, Restart, Trouble};
pub use run::{Settings, Simulation, Totals};
