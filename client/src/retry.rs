//! When to try again: exponential backoff with full jitter, bounded in attempts and in time.
//!
//! Full jitter means that a delay is drawn evenly from zero to the current ceiling. Many
//! clients that fail at the same moment then come back spread out, which a fixed or a half
//! random delay does not achieve. [`Backoff`] is pure: it is told how much time has passed and
//! decides, so that a test can walk it from a seed. [`Retry`] is the same with a clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// How often and for how long to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// The ceiling of the first delay; it doubles with every attempt.
    pub base: Duration,
    /// The ceiling never rises above this.
    pub cap: Duration,
    /// Attempts after the first one.
    pub attempts_max: u32,
    /// No attempt starts later than this after the first failure.
    pub elapsed_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(10),
            attempts_max: 30,
            elapsed_max: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Gives up at the first failure.
    pub fn none() -> Self {
        RetryPolicy { attempts_max: 0, ..RetryPolicy::default() }
    }

    /// The default with another limit on time.
    pub fn for_at_most(elapsed_max: Duration) -> Self {
        RetryPolicy { elapsed_max, ..RetryPolicy::default() }
    }
}

/// The delays of one series of attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: RetryPolicy,
    attempts: u32,
    random: fastrand::Rng,
}

impl Backoff {
    /// A series that is the same for the same seed.
    pub fn with_seed(policy: RetryPolicy, seed: u64) -> Self {
        Backoff { policy, attempts: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// A series that differs from every other one.
    pub fn new(policy: RetryPolicy) -> Self {
        Self::with_seed(policy, fastrand::u64(..))
    }

    /// How long to wait before the next attempt, `elapsed` after the first failure; none if
    /// it is time to give up.
    pub fn delay(&mut self, elapsed: Duration) -> Option<Duration> {
        if self.attempts >= self.policy.attempts_max || elapsed >= self.policy.elapsed_max {
            return None;
        }
        let delay = self.draw(self.attempts);
        self.attempts += 1;
        Some(delay.min(self.policy.elapsed_max.saturating_sub(elapsed)))
    }

    /// The delay before a given attempt, counted from 0, outside of any series.
    pub(crate) fn draw(&mut self, attempt: u32) -> Duration {
        // 2^20 times any base worth the name is above the cap.
        let ceiling = (self.policy.base * (1 << attempt.min(20))).min(self.policy.cap);
        Duration::from_nanos(self.random.u64(0..=ceiling.as_nanos() as u64))
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A [`Backoff`] that looks at the clock itself.
#[derive(Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    failing_since: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Retry { backoff: Backoff::new(policy), failing_since: None }
    }

    /// How long to wait after `error`, at least as long as the server asks; none if the error
    /// is final or patience is at its end.
    pub(crate) fn delay(&mut self, error: &Error) -> Option<Duration> {
        if !error.is_retryable() {
            return None;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let delay = self.backoff.delay(since.elapsed())?;
        Some(delay.max(error.retry_after().unwrap_or_default()))
    }

    /// Waits as [`Retry::delay`] says, or gives the error back.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        match self.delay(&error) {
            Some(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    pub(crate) fn reset(&mut self) {
        if self.failing_since.take().is_some() {
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_under_a_ceiling_that_doubles_up_to_the_cap() {
        let policy =
            RetryPolicy { attempts_max: 100, elapsed_max: Duration::MAX, ..RetryPolicy::default() };
        for seed in 0..100 {
            let mut backoff = Backoff::with_seed(policy, seed);
            for attempt in 0..100u32 {
                let ceiling = policy.cap.min(policy.base * (1 << attempt.min(20)));
                let delay = backoff.delay(Duration::ZERO).expect("attempts are left");
                assert!(delay <= ceiling, "seed {seed}, attempt {attempt}: {delay:?}");
            }
            assert_eq!(backoff.delay(Duration::ZERO), None);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_one_others() {
        let series = |seed| {
            let mut backoff = Backoff::with_seed(RetryPolicy::default(), seed);
            (0..10).map(|_| backoff.delay(Duration::ZERO)).collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
    }

    #[test]
    fn no_attempt_starts_after_the_time_is_up() {
        let policy = RetryPolicy::for_at_most(Duration::from_secs(5));
        let mut backoff = Backoff::with_seed(policy, 1);
        let late = Duration::from_millis(4999);
        assert!(backoff.delay(late).expect("in time") <= Duration::from_millis(1));
        assert_eq!(backoff.delay(Duration::from_secs(5)), None);
        assert_eq!(Backoff::new(RetryPolicy::none()).delay(Duration::ZERO), None);
    }

    #[test]
    fn a_final_error_is_given_back_at_once() {
        let mut retry = Retry::new(RetryPolicy::default());
        assert_eq!(retry.delay(&Error::ExpiredIterator), None);
        assert!(retry.delay(&Error::ShuttingDown).is_some());
    }

    #[test]
    fn the_server_may_ask_for_a_longer_wait() {
        let mut retry = Retry::new(RetryPolicy::default());
        let asked = Duration::from_secs(3);
        let throttled = Error::Throttled { retry_after: Some(asked), message: String::new() };
        assert_eq!(retry.delay(&throttled), Some(asked));
    }
}
