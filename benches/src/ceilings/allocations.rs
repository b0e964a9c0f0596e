//! How often the server allocates for a record that is put.
//!
//! The server is this program in another process; at its end it says how often it has allocated.
//! What it does for so many records more is what a record costs once it runs: a start, and buffers
//! that grow to their size, are in both.

use std::io::Write;

use anyhow::{Context, Result};
use stats_alloc::Stats;

use super::child::Child;
use super::figure::Samples;
use super::group::Bench;
use super::load;

/// Records after which everything has its size, and records that count.
const WARM_UP: u64 = 200_000;
const COUNTED: u64 = 1_000_000;

/// What stands in front of the number.
const WORD: &str = "allocations ";

/// Says how often this process has allocated.
pub fn tell(stats: &Stats) {
    let count = stats.allocations + stats.reallocations;
    // Whoever does not listen does not want to know.
    let _ = writeln!(std::io::stdout(), "{WORD}{count}");
}

pub(super) fn group(bench: &Bench<'_>, samples: &mut Samples) -> Result<()> {
    for (name, batch, waiting) in
        [("allocations-produce", 100, 32), ("allocations-produce-1", 1, 256)]
    {
        let warm = count(bench, WARM_UP, batch, waiting)?;
        let whole = count(bench, WARM_UP + COUNTED, batch, waiting)?;
        samples.add(name, whole.saturating_sub(warm) as f64 / COUNTED as f64);
    }
    Ok(())
}

/// Allocations of a server that takes so many records.
fn count(bench: &Bench<'_>, records: u64, batch: usize, waiting: usize) -> Result<u64> {
    let data = bench.data()?;
    let child = Child::ours(data.path(), "fsync")?;
    bench.runtime.block_on(async {
        load::create(&child, 4).await?;
        load::put_so_many(&child, records, batch, waiting).await
    })?;
    let words = child.last_words()?;
    let count = words.lines().find_map(|line| line.strip_prefix(WORD));
    count.context("the server did not say how often it allocates")?.parse().context(words)
}
