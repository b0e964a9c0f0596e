//! What scaling remembers of a stream: its peaks of thirty days, hour by hour, and what each open
//! shard took at most in the last minutes.
//!
//! Both are bounded: 721 hours, and 17 minutes for each open shard.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anabranch_engine::ids::ShardId;

use super::{COLD_TIME, ShardView};
use crate::traffic::load::Rate;

/// Whole hours for which a peak counts: the service's 30 days.
const PEAK_HOURS: u64 = 30 * 24;

/// Whole minutes for which the recent peak of a shard is known.
const RECENT_MINUTES: u64 = COLD_TIME.as_secs() / 60;

/// The past of a stream, fed with the views of its open shards.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The hour and its peak, rising.
    hours: VecDeque<(u64, Rate)>,
    recent: BTreeMap<ShardId, Recent>,
}

/// What a shard took at most, minute by minute.
#[derive(Clone, Debug)]
struct Recent {
    since: Duration,
    /// The minute and its peak, rising.
    minutes: VecDeque<(u64, Rate)>,
}

impl History {
    /// Takes in the views of this second: all open shards of the stream. What is no longer among
    /// them is forgotten.
    pub fn observe(&mut self, views: &[ShardView], now: Duration) {
        let all = views.iter().fold(Rate::default(), |sum, view| sum.plus(view.rate));
        let hour = now.as_secs() / 3600;
        raise(&mut self.hours, hour, all);
        forget(&mut self.hours, hour.saturating_sub(PEAK_HOURS));
        let minute = now.as_secs() / 60;
        let mut former = std::mem::take(&mut self.recent);
        for view in views {
            let new = || Recent { since: now, minutes: VecDeque::new() };
            let mut recent = former.remove(&view.id).unwrap_or_else(new);
            raise(&mut recent.minutes, minute, view.rate);
            forget(&mut recent.minutes, minute.saturating_sub(RECENT_MINUTES));
            self.recent.insert(view.id, recent);
        }
    }

    /// The most that the stream took in the last 30 days.
    pub fn peak(&self, now: Duration) -> Rate {
        largest(&self.hours, (now.as_secs() / 3600).saturating_sub(PEAK_HOURS))
    }

    /// The most that the shard took within [`COLD_TIME`]; none where it was not watched for that
    /// long.
    pub fn recent(&self, shard: ShardId, now: Duration) -> Option<Rate> {
        let recent = self.recent.get(&shard)?;
        let is_known = now.saturating_sub(recent.since) >= COLD_TIME;
        let oldest = (now.as_secs() / 60).saturating_sub(RECENT_MINUTES);
        is_known.then(|| largest(&recent.minutes, oldest))
    }
}

fn raise(peaks: &mut VecDeque<(u64, Rate)>, at: u64, rate: Rate) {
    match peaks.back_mut() {
        Some((last, peak)) if *last >= at => *peak = peak.max(rate),
        _ => peaks.push_back((at, rate)),
    }
}

fn forget(peaks: &mut VecDeque<(u64, Rate)>, oldest: u64) {
    while peaks.front().is_some_and(|(at, _)| *at < oldest) {
        peaks.pop_front();
    }
}

fn largest(peaks: &VecDeque<(u64, Rate)>, oldest: u64) -> Rate {
    let counted = peaks.iter().filter(|(at, _)| *at >= oldest);
    counted.fold(Rate::default(), |largest, (_, peak)| largest.max(*peak))
}

#[cfg(test)]
mod tests {
    use anabranch_engine::hash_key::{HashKey, HashKeyRange};

    use super::*;

    fn view(id: u32, records: u64) -> ShardView {
        ShardView {
            id: ShardId(id),
            range: HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX) },
            rate: Rate { records, bytes: 0 },
            age: Duration::ZERO,
            halving: None,
        }
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    #[test]
    fn the_peak_is_of_all_shards_together_and_is_known_for_thirty_days() {
        let mut history = History::default();
        history.observe(&[view(0, 300), view(1, 400)], hours(1));
        history.observe(&[view(0, 100), view(1, 100)], hours(2));
        assert_eq!(history.peak(hours(3)).records, 700);
        assert_eq!(history.peak(hours(721)).records, 700);
        assert_eq!(history.peak(hours(722)).records, 200);
    }

    #[test]
    fn a_year_of_seconds_takes_a_month_of_hours() {
        let mut history = History::default();
        for hour in 0..8760 {
            history.observe(&[view(0, 1)], hours(hour));
            history.observe(&[view(0, 2)], hours(hour) + Duration::from_secs(9));
        }
        assert_eq!(history.hours.len() as u64, PEAK_HOURS + 1);
        assert_eq!(history.recent[&ShardId(0)].minutes.len(), 1);
    }

    #[test]
    fn what_a_shard_took_lately_is_known_after_a_quarter_of_an_hour() {
        let mut history = History::default();
        let seconds = Duration::from_secs;
        for second in 0..=3600 {
            let records = if second == 1000 { 500 } else { 3 };
            history.observe(&[view(7, records)], seconds(second));
            let recent = history.recent(ShardId(7), seconds(second));
            match second {
                0..900 => assert_eq!(recent, None),
                900..1000 | 1960.. => assert_eq!(recent.unwrap().records, 3),
                // At least the quarter of an hour, and at most a minute more.
                1000..=1900 => assert_eq!(recent.unwrap().records, 500),
                _ => {}
            }
        }
        assert!(history.recent[&ShardId(7)].minutes.len() as u64 <= RECENT_MINUTES + 1);
        history.observe(&[view(8, 0)], seconds(3601));
        assert_eq!(history.recent(ShardId(7), seconds(3601)), None);
        assert_eq!(history.recent.len(), 1);
    }
}
