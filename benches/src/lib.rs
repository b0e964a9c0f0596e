//! Benches of the engine, over real files: `cargo bench -p anabranch-benches`.
//!
//! Each measures what a user feels: `append` a durable batch, `cursor` a replay. They write into
//! the temporary directory (`TMPDIR`); on a memory file system a sync costs nothing and the
//! figures mean little.

#![forbid(unsafe_code)]
