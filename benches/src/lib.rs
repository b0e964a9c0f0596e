//! What is measured, as opposed to tested.
//!
//! - Criterion benches of the engine, over real files: `cargo bench -p anabranch-benches`. Each
//!   measures what a user feels: `append` a durable batch, `cursor` a replay. They write into the
//!   temporary directory (`TMPDIR`); on a memory file system a sync costs nothing and the
//!   figures mean little.
//! - [`ceilings`], the program that holds the whole server against what the machine and gRPC can
//!   do at best.

#![forbid(unsafe_code)]

pub mod ceilings;
