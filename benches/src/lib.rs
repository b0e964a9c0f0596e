//! What is measured, as opposed to tested.
//!
//! - Criterion benches, over real files: `cargo bench -p anabranch-benches`. Most measure what a
//!   user feels: `append` a durable batch, `cursor` a replay, `open` a start; `parts` measures the
//!   parts of a put by themselves. They write into the temporary directory (`TMPDIR`); on a memory
//!   file system a sync costs nothing and the figures mean little.
//! - [`ceilings`], the program that holds the whole server against what the machine and gRPC can
//!   do at best.

#![forbid(unsafe_code)]

pub mod ceilings;
