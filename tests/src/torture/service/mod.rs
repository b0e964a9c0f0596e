//! The real program in service: restarts, overload, slow readers, little memory, stops.
//!
//! Each check starts the binary as it is shipped, and looks at it from outside: through its
//! API, its exit code, its log, and what the kernel says of the process. What is timed is timed
//! on a machine that may have other things to do, so a check says how far its own figures
//! spread, and compares what was measured in turn rather than one after the other.

mod admin;
mod cgroup;
mod cores;
mod graceful_stop;
mod large;
mod measure;
mod mute;
mod overload;
mod read;
mod rescale;
mod reshards;
mod restart_time;
mod slow_subscribers;
mod small_memory;
mod upgrade;
mod wide;

pub(super) use graceful_stop::CHECK as GRACEFUL_STOP;
pub(super) use large::CHECK as LARGE;
pub(super) use overload::CHECK as OVERLOAD;
pub(super) use rescale::CHECK as RESCALE;
pub(super) use reshards::CHECK as RESHARDS;
pub(super) use restart_time::CHECK as RESTART_TIME;
pub(super) use slow_subscribers::CHECK as SLOW_SUBSCRIBERS;
pub(super) use small_memory::CHECK as SMALL_MEMORY;
pub(super) use upgrade::CHECK as UPGRADE;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

/// What the clients of a check run on: two threads, as the server's machine has two cores.
fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// The value of a field in the first line of a log that has it.
fn logged<'a>(log: &'a str, field: &str) -> Option<&'a str> {
    let mut words = log.split_whitespace();
    words.find_map(|word| word.strip_prefix(field)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let log = "INFO opened took_ms_all=1 clean=false took_ms=12\nINFO took_ms=13";
        assert_eq!(logged(log, "took_ms"), Some("12"));
        assert_eq!(logged(log, "clean"), Some("false"));
        assert_eq!(logged(log, "shards"), None);
    }
}
