//! Latencies and counts of one part of a run, and their sum over all parts.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies are counted up to ten minutes; what takes longer counts as that.
const LATENCY_NANOS_MAX: u64 = 600_000_000_000;
/// How finely throughput is shown over time.
pub(super) const SLOT: Duration = Duration::from_millis(250);
/// Slots at most: an hour.
const SLOTS_MAX: usize = 14_400;

/// The part of a run that counts: what was due in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// What happened to some records of a run.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    window: Window,
    /// Latency of records due in the window, in nanoseconds.
    latency: Histogram<u64>,
    /// Records that arrived in each slot of the window, whenever they were due.
    slots: Vec<u64>,
}

impl Measure {
    pub(super) fn new(window: Window) -> Measure {
        let latency = Histogram::new_with_bounds(1_000, LATENCY_NANOS_MAX, 3);
        Measure { window, latency: latency.expect("these bounds are allowed"), slots: Vec::new() }
    }

    /// Notes `records` that were due at one time and arrived at another.
    pub(super) fn note(&mut self, due: Instant, arrived: Instant, records: u64) {
        if (self.window.from..self.window.until).contains(&due) {
            let took = arrived.saturating_duration_since(due).as_nanos() as u64;
            self.latency.saturating_record_n(took, records);
        }
        if (self.window.from..self.window.until).contains(&arrived) {
            let slot = (arrived - self.window.from).as_millis() / SLOT.as_millis();
            let slot = (slot as usize).min(SLOTS_MAX - 1);
            if self.slots.len() <= slot {
                self.slots.resize(slot + 1, 0);
            }
            self.slots[slot] += records;
        }
    }

    /// Adds what another part of the run noted.
    pub(super) fn add(&mut self, other: &Measure) {
        self.latency.add(&other.latency).expect("all have the same bounds");
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), 0);
        }
        for (mine, others) in self.slots.iter_mut().zip(&other.slots) {
            *mine += others;
        }
    }

    /// Records that arrived in the window.
    pub(super) fn records(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Records per second that arrived in the window.
    pub(super) fn rate(&self) -> f64 {
        let seconds = (self.window.until - self.window.from).as_secs_f64();
        self.records() as f64 / seconds.max(1e-9)
    }

    /// Seconds since the window began, and records per second, of each whole slot.
    pub(super) fn over_time(&self) -> Vec<(f64, f64)> {
        let whole = (self.window.until - self.window.from).as_millis() / SLOT.as_millis();
        let seconds = SLOT.as_secs_f64();
        (0..whole as usize)
            .map(|slot| {
                let records = self.slots.get(slot).copied().unwrap_or(0);
                (slot as f64 * seconds, records as f64 / seconds)
            })
            .collect()
    }

    /// The latency that this share of the records (0 to 1) did not exceed, in milliseconds.
    pub(super) fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Whether any record due in the window arrived.
    pub(super) fn has_latency(&self) -> bool {
        !self.latency.is_empty()
    }

    /// The window itself becomes shorter where a run was interrupted.
    pub(super) fn end_at(&mut self, until: Instant) {
        self.window.until = until.clamp(self.window.from, self.window.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_due_in_the_window_has_a_latency() {
        let second = Duration::from_secs(1);
        let before = Instant::now();
        let from = before + second;
        let mut measure = Measure::new(Window { from, until: from + 2 * second });
        // Due in the warm-up, arrived in the window: counts for the rate alone.
        measure.note(before, from + second / 2, 7);
        assert!(!measure.has_latency());
        measure.note(from, from + second, 5);
        // Due in the window, arrived behind it: counts for the latency alone.
        measure.note(from + second, from + 4 * second, 5);
        assert_eq!(measure.records(), 12);
        assert!((measure.rate() - 6.0).abs() < 1e-9);
        assert!((measure.milliseconds(0.5) / 1000.0 - 1.0).abs() < 0.01);
        assert!((measure.milliseconds(1.0) / 1000.0 - 3.0).abs() < 0.01);
        let rates: Vec<_> = measure.over_time().iter().map(|(_, rate)| *rate as u64).collect();
        assert_eq!(rates, [0, 0, 28, 0, 20, 0, 0, 0]);
    }

    #[test]
    fn parts_add_up() {
        let from = Instant::now();
        let window = Window { from, until: from + Duration::from_secs(1) };
        let (mut here, mut there) = (Measure::new(window), Measure::new(window));
        here.note(from, from + Duration::from_millis(1), 1);
        there.note(from, from + Duration::from_millis(900), 3);
        here.add(&there);
        assert_eq!(here.records(), 4);
        assert!(here.milliseconds(1.0) > 899.0);
    }
}
