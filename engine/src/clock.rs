//! Time as a seam, and the one timeline that a server's stamps follow.
//!
//! Two clocks exist. The *wall clock* says what people call the time and may jump; the
//! *monotonic clock* counts elapsed time and may not. [`Timeline`] joins them: arrival times
//! follow the wall clock through small steps, and the monotonic clock through a jump, until
//! the jump is confirmed by having held for [`CLOCK_JUMP_CONFIRM_MS`]. Time never runs
//! backwards on it, not even over a restart.
//!
//! Retention looks at the same timeline through [`Timeline::elapsed_now`]: a jump forward
//! counts for a stream only once as much monotonic time has passed as the stream keeps its
//! records, so that a wrong clock never deletes early, and never keeps for longer than twice.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::limits::{CLOCK_JUMP_CONFIRM_MS, CLOCK_STEP_MS_MAX};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970 by the wall clock.
    fn wall_ms(&self) -> u64;

    /// Time since some fixed moment, never falling.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that moves when it is told to: for tests and simulated runs.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(u64, Duration)>,
}

impl ManualClock {
    /// A clock whose wall time is `wall_ms`.
    pub fn new(wall_ms: u64) -> Self {
        ManualClock { now: Mutex::new((wall_ms, Duration::ZERO)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.0 += by.as_millis() as u64;
        now.1 += by;
    }

    /// Sets the wall clock alone: a jump.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.now.lock().0 = wall_ms;
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.now.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().1
    }
}

/// A jump forward that stamps have followed, remembered until every stream may count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jump {
    /// By how much the timeline leapt, in milliseconds.
    pub forward_ms: u64,
    /// Monotonic milliseconds for which the server has run since.
    pub held_ms: u64,
}

/// What of the timeline outlives the process; kept in the catalog.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TimelineState {
    /// The latest time on the timeline, milliseconds since 1970.
    pub now_ms: u64,
    /// Jumps that some stream may not count yet.
    pub jumps: Vec<Jump>,
}

/// Jumps remembered. A clock that jumps more often than this within a year is broken, and
/// the two oldest jumps are then counted as one, which only delays deletion.
const JUMPS_MAX: usize = 32;

/// The timeline of arrival times. Pure: it is told both clocks and decides.
#[derive(Clone, Debug)]
pub struct Timeline {
    now_ms: u64,
    monotonic: Duration,
    /// A jump of the wall clock that is not confirmed yet: since when it holds.
    pending_since: Option<Duration>,
    jumps: Vec<Jump>,
}

impl Timeline {
    /// Goes on where an earlier process stopped. Time for which no server ran is a jump like
    /// any other, but needs no confirming: stamps follow it at once.
    pub fn resume(state: TimelineState, wall_ms: u64, monotonic: Duration) -> Timeline {
        let mut timeline = Timeline {
            // A stamp is never 0: a fixed64 of 0 would be left out of the encoding.
            now_ms: state.now_ms.max(1),
            monotonic,
            pending_since: None,
            jumps: state.jumps,
        };
        if state.now_ms == 0 {
            timeline.now_ms = wall_ms.max(1);
        } else if wall_ms > timeline.now_ms {
            timeline.leap_to(wall_ms);
        }
        timeline
    }

    /// What the catalog is to keep.
    pub fn state(&self) -> TimelineState {
        TimelineState { now_ms: self.now_ms, jumps: self.jumps.clone() }
    }

    /// The time now, milliseconds since 1970; never less than it was before.
    pub fn observe(&mut self, wall_ms: u64, monotonic: Duration) -> u64 {
        let elapsed_ms = self.pass(monotonic);
        let expected = self.now_ms + elapsed_ms;
        let off_by = wall_ms.abs_diff(expected);
        if off_by <= CLOCK_STEP_MS_MAX {
            self.pending_since = None;
            self.now_ms = self.now_ms.max(wall_ms);
            return self.now_ms;
        }
        self.now_ms = expected;
        let since = *self.pending_since.get_or_insert(monotonic);
        let held = monotonic.saturating_sub(since).as_millis() as u64;
        if wall_ms > expected && held >= CLOCK_JUMP_CONFIRM_MS {
            self.pending_since = None;
            self.leap_to(wall_ms);
        }
        self.now_ms
    }

    /// Whether the wall clock stands where the timeline does not follow: worth an alarm.
    pub fn is_jump_pending(&self) -> bool {
        self.pending_since.is_some()
    }

    /// The time that retention may count with: every jump forward is left out until the
    /// server has run for `retention_ms` since.
    pub fn elapsed_now(&self, retention_ms: u64) -> u64 {
        let young = self.jumps.iter().filter(|jump| jump.held_ms < retention_ms);
        let left_out: u64 = young.map(|jump| jump.forward_ms).sum();
        self.now_ms.saturating_sub(left_out)
    }

    fn pass(&mut self, monotonic: Duration) -> u64 {
        let elapsed = monotonic.saturating_sub(self.monotonic);
        let elapsed_ms = elapsed.as_millis() as u64;
        // What is less than a millisecond stays for the next time.
        self.monotonic += Duration::from_millis(elapsed_ms);
        for jump in &mut self.jumps {
            jump.held_ms = jump.held_ms.saturating_add(elapsed_ms);
        }
        elapsed_ms
    }

    fn leap_to(&mut self, wall_ms: u64) {
        let forward_ms = wall_ms - self.now_ms;
        self.now_ms = wall_ms;
        if forward_ms <= CLOCK_STEP_MS_MAX {
            return;
        }
        let retention_ms_max = u64::from(crate::limits::RETENTION_HOURS_MAX) * 3_600_000;
        self.jumps.retain(|jump| jump.held_ms < retention_ms_max);
        if self.jumps.len() == JUMPS_MAX {
            let oldest = self.jumps.remove(0);
            self.jumps[0].forward_ms += oldest.forward_ms;
        }
        self.jumps.push(Jump { forward_ms, held_ms: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 8760 * HOUR_MS;
    const START_MS: u64 = 1_700_000_000_000;

    fn started() -> Timeline {
        Timeline::resume(TimelineState::default(), START_MS, Duration::ZERO)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn small_steps_are_followed_and_time_never_falls() {
        let mut line = started();
        assert_eq!(line.observe(START_MS + 1000, ms(1000)), START_MS + 1000);
        assert_eq!(line.observe(START_MS + 31_000, ms(2000)), START_MS + 31_000);
        assert_eq!(line.observe(START_MS + 3000, ms(3000)), START_MS + 31_000);
        assert!(!line.is_jump_pending());
    }

    #[test]
    fn a_year_forward_is_followed_when_confirmed_and_deletes_nothing_early() {
        let mut line = started();
        assert_eq!(line.observe(START_MS + YEAR_MS, ms(1000)), START_MS + 1000);
        assert!(line.is_jump_pending());
        let now = 1000 + CLOCK_JUMP_CONFIRM_MS;
        assert_eq!(line.observe(START_MS + YEAR_MS + now, ms(now)), START_MS + YEAR_MS + now);
        // A record put at the start, kept for a day, is not a year old.
        let day = 24 * HOUR_MS;
        assert!(line.elapsed_now(day) < START_MS + HOUR_MS);
        // Nor after a restart; but once the server has run for a day it is.
        let mut line = Timeline::resume(line.state(), START_MS + YEAR_MS + now, Duration::ZERO);
        assert!(line.elapsed_now(day) < START_MS + HOUR_MS);
        line.observe(START_MS + YEAR_MS + now + day, ms(day));
        assert!(line.elapsed_now(day) > START_MS + day);
    }

    #[test]
    fn a_year_backwards_is_never_followed() {
        let mut line = started();
        let day = 24 * HOUR_MS;
        assert_eq!(line.observe(START_MS - YEAR_MS, ms(1)), START_MS + 1);
        assert_eq!(line.observe(START_MS - YEAR_MS + day, ms(day)), START_MS + day);
        let line = Timeline::resume(line.state(), START_MS - YEAR_MS + day, Duration::ZERO);
        assert_eq!(line.now_ms, START_MS + day);
    }

    #[test]
    fn time_for_which_no_server_ran_counts_for_retention_only_later() {
        let day = 24 * HOUR_MS;
        let mut line = Timeline::resume(started().state(), START_MS + 3 * day, Duration::ZERO);
        assert_eq!(line.observe(START_MS + 3 * day, Duration::ZERO), START_MS + 3 * day);
        assert_eq!(line.elapsed_now(day), START_MS);
        line.observe(START_MS + 4 * day, ms(day));
        assert_eq!(line.elapsed_now(day), START_MS + 4 * day);
    }

    #[test]
    fn a_clock_that_steps_every_second_neither_deletes_early_nor_stops_time() {
        let mut line = started();
        let mut last = 0;
        for second in 1..5000u64 {
            let wall = START_MS + second * 1000 + (second % 2) * YEAR_MS;
            let now = line.observe(wall, ms(second * 1000));
            assert!(now >= last);
            last = now;
            assert!(line.elapsed_now(24 * HOUR_MS) <= START_MS + second * 1000 + 60_000);
        }
        assert!(last >= START_MS + 4_000_000);
    }
}
