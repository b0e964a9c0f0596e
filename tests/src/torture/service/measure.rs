//! Figures out of many measurements, and what the kernel says of a process.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// The value in the middle; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which such a part of the others lies; 0 of none.
pub(super) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The largest; 0 of none.
pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// As seconds, or as microseconds: what a figure is told in.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Bytes of memory that a process alone has and that no file stands behind: what an allocator
/// holds, and not what is mapped of segments.
pub(super) fn anonymous_bytes(process: Pid) -> Result<u64> {
    let path = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("the kernel does not tell the anonymous memory of a process")? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!((median(&values), quantile(&values, 0.99), largest(&values)), (3.0, 5.0, 5.0));
        assert_eq!((median(&[]), largest(&[])), (0.0, 0.0));
    }

    #[test]
    fn a_process_knows_its_own_memory() {
        let this = rustix::process::getpid();
        assert!(anonymous_bytes(this).unwrap() > 0);
    }
}
