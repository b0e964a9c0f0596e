//! What went in and out of a shard, second by second over the last minute.
//!
//! A put or a read adds to the second it falls in, once for all its records; so counting costs
//! the same for one record and for five hundred. Seconds live in a ring that is made when the
//! shard has its first traffic and given back when it had none for a while: a stream of 10,000
//! idle shards holds nothing of it. Beside the ring, totals count from the start of the server.

use std::ops::AddAssign;
use std::time::Duration;

/// Seconds that can be looked back on, the running one not counted.
pub const WINDOW_SECONDS: u64 = 60;

/// Places in the ring: the window, the running second, and up to a power of two.
const RING: usize = 64;

/// Records and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// How many records.
    pub records: u32,
    /// Their bytes: keys and data of what is put, encoded bytes of what is read.
    pub bytes: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// What happened to a shard, since the start of the server or in some seconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sums {
    /// Records that were put.
    pub records_in: u64,
    /// Bytes of their keys and data.
    pub bytes_in: u64,
    /// Records that were read, by pull and push.
    pub records_out: u64,
    /// Encoded bytes of those.
    pub bytes_out: u64,
    /// The part of them that was pulled.
    pub polled_bytes: u64,
    /// Calls that pulled, and were not refused.
    pub polls: u64,
    /// Records that were refused for want of throughput.
    pub throttled_records: u64,
    /// Bytes of their keys and data.
    pub throttled_bytes: u64,
    /// Calls that would have pulled and were refused for want of throughput.
    pub throttled_polls: u64,
    /// How far the slowest read was behind the newest record, in milliseconds.
    pub iterator_age_ms_max: u64,
}

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        self.records_out += other.records_out;
        self.bytes_out += other.bytes_out;
        self.polled_bytes += other.polled_bytes;
        self.polls += other.polls;
        self.throttled_records += other.throttled_records;
        self.throttled_bytes += other.throttled_bytes;
        self.throttled_polls += other.throttled_polls;
        self.iterator_age_ms_max = self.iterator_age_ms_max.max(other.iterator_age_ms_max);
    }
}

/// Records and bytes put a second: a load, and what a shard takes of one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rate {
    /// Records a second.
    pub records: u64,
    /// Bytes of keys and data a second.
    pub bytes: u64,
}

/// One second of the ring.
#[derive(Clone, Copy, Default, Debug)]
struct Second {
    /// Which second of the monotonic clock it is. What is too old has been forgotten.
    number: u64,
    sums: Sums,
}

/// The traffic of a shard.
#[derive(Clone, Debug, Default)]
pub struct Load {
    ring: Option<Box<[Second; RING]>>,
    /// The last second that something was added to.
    last: u64,
    total: Sums,
}

impl Load {
    /// Records were put, and others were refused.
    pub fn put(&mut self, taken: Count, throttled: Count, now: Duration) {
        self.add(
            &Sums {
                records_in: taken.records.into(),
                bytes_in: taken.bytes,
                throttled_records: throttled.records.into(),
                throttled_bytes: throttled.bytes,
                ..Sums::default()
            },
            now,
        );
    }

    /// A call pulled records, so far behind the newest one.
    pub fn poll(&mut self, read: Count, iterator_age_ms: u64, now: Duration) {
        let polled = Sums { polls: 1, polled_bytes: read.bytes, ..out(read, iterator_age_ms) };
        self.add(&polled, now);
    }

    /// A subscription sent records, so far behind the newest one.
    pub fn push(&mut self, read: Count, iterator_age_ms: u64, now: Duration) {
        self.add(&out(read, iterator_age_ms), now);
    }

    /// A call that would have pulled was refused.
    pub fn throttle_poll(&mut self, now: Duration) {
        self.add(&Sums { throttled_polls: 1, ..Sums::default() }, now);
    }

    fn add(&mut self, sums: &Sums, now: Duration) {
        // Who read the clock before it had the shard adds to the second that runs by now.
        self.last = self.last.max(now.as_secs());
        let ring = self.ring.get_or_insert_with(|| Box::new([Second::default(); RING]));
        let second = &mut ring[self.last as usize % RING];
        if second.number != self.last {
            *second = Second { number: self.last, sums: Sums::default() };
        }
        second.sums += sums;
        self.total += sums;
    }

    /// What happened in the last `seconds` whole seconds, at most [`WINDOW_SECONDS`]; the running
    /// one is not among them.
    pub fn over(&self, seconds: u64, now: Duration) -> Sums {
        let mut sums = Sums::default();
        for second in self.each(seconds, now) {
            sums += second;
        }
        sums
    }

    /// The mean of what was put in the last `seconds` whole seconds.
    pub fn rate(&self, seconds: u64, now: Duration) -> Rate {
        let seconds = seconds.clamp(1, WINDOW_SECONDS);
        let sums = self.over(seconds, now);
        Rate { records: sums.records_in.div_ceil(seconds), bytes: sums.bytes_in.div_ceil(seconds) }
    }

    /// The most records and the most bytes that were put in a whole second of the last minute.
    pub fn peak(&self, now: Duration) -> Rate {
        let mut peak = Rate::default();
        for second in self.each(WINDOW_SECONDS, now) {
            peak = peak.max(Rate { records: second.records_in, bytes: second.bytes_in });
        }
        peak
    }

    /// What producers wanted to put in the second that ends now, refused records among it.
    pub fn offered(&self, now: Duration) -> Rate {
        Rate {
            records: self.sliding(now, |sums| sums.records_in + sums.throttled_records),
            bytes: self.sliding(now, |sums| sums.bytes_in + sums.throttled_bytes),
        }
    }

    /// Something of the second that ends now: all of the running second, and of the one before as
    /// large a part as still lies within.
    pub fn sliding(&self, now: Duration, of: impl Fn(&Sums) -> u64) -> u64 {
        let second = now.as_secs();
        let before = second.checked_sub(1).map_or(0, |before| of(&self.second(before)));
        let left_ns = u128::from(1_000_000_000 - now.subsec_nanos());
        of(&self.second(second)) + (u128::from(before) * left_ns / 1_000_000_000) as u64
    }

    /// Everything since the start of the server.
    pub fn total(&self) -> &Sums {
        &self.total
    }

    /// For how many whole seconds nothing was added.
    pub fn idle_seconds(&self, now: Duration) -> u64 {
        now.as_secs().saturating_sub(self.last)
    }

    /// Gives the memory of the last minute back, where nothing happened in it.
    pub fn shrink(&mut self, now: Duration) {
        if self.idle_seconds(now) > WINDOW_SECONDS {
            self.ring = None;
        }
    }

    fn second(&self, number: u64) -> Sums {
        let second = self.ring.as_ref().map(|ring| ring[number as usize % RING]);
        second.filter(|second| second.number == number).map_or(Sums::default(), |it| it.sums)
    }

    fn each(&self, seconds: u64, now: Duration) -> impl Iterator<Item = &Sums> {
        let end = now.as_secs();
        let start = end.saturating_sub(seconds.min(WINDOW_SECONDS));
        let ring = self.ring.iter().flat_map(|ring| ring.iter());
        let within = ring.filter(move |second| (start..end).contains(&second.number));
        within.map(|second| &second.sums)
    }
}

fn out(read: Count, iterator_age_ms: u64) -> Sums {
    Sums {
        records_out: read.records.into(),
        bytes_out: read.bytes,
        iterator_age_ms_max: iterator_age_ms,
        ..Sums::default()
    }
}

impl Rate {
    /// What a shard takes: 1,000 records and 1 MiB a second.
    pub const OF_A_SHARD: Rate = Rate { records: 1000, bytes: 1 << 20 };

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Rate) -> Rate {
        Rate { records: self.records.max(other.records), bytes: self.bytes.max(other.bytes) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Rate) -> Rate {
        Rate { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }

    /// How many shards take it, if it is spread evenly over them.
    pub fn shards(self) -> u64 {
        let by_records = self.records.div_ceil(Rate::OF_A_SHARD.records);
        by_records.max(self.bytes.div_ceil(Rate::OF_A_SHARD.bytes))
    }

    /// How much of what a shard takes it is, in percent, by the limit that it is nearer to.
    pub fn percent_of_a_shard(self) -> u64 {
        let by_records = self.records * 100 / Rate::OF_A_SHARD.records;
        by_records.max(self.bytes * 100 / Rate::OF_A_SHARD.bytes)
    }

    /// Whether it is nearer to what a shard takes in bytes than in records.
    pub fn is_bound_by_bytes(self) -> bool {
        let shard = Rate::OF_A_SHARD;
        self.bytes * shard.records > self.records * shard.bytes
    }
}

impl std::fmt::Display for Rate {
    /// As in "812 records/s and 0.6 MiB/s".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        let digits = if mib < 0.095 && self.bytes > 0 { 3 } else { 1 };
        write!(f, "{} records/s and {mib:.digits$} MiB/s", self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn count(records: u32, bytes: u64) -> Count {
        Count { records, bytes }
    }

    #[test]
    fn the_last_minute_is_known_second_by_second_and_what_is_older_is_not() {
        let mut load = Load::default();
        for second in 0..200 {
            load.put(count(10, 1000), Count::default(), at(second * 1000 + 500));
        }
        let now = at(200_000);
        assert_eq!(load.over(60, now).records_in, 600);
        assert_eq!(load.over(1000, now).records_in, 600);
        assert_eq!(load.rate(5, now), Rate { records: 10, bytes: 1000 });
        // A minute without traffic.
        assert_eq!(load.rate(5, at(206_000)), Rate::default());
        assert_eq!(load.over(60, at(230_000)).records_in, 300);
        assert_eq!(load.over(60, at(260_000)).records_in, 0);
        assert_eq!(load.total().records_in, 2000);
        assert_eq!(load.total().bytes_in, 200_000);
    }

    #[test]
    fn the_running_second_is_not_part_of_a_rate() {
        let mut load = Load::default();
        load.put(count(1000, 1), Count::default(), at(7000));
        assert_eq!(load.rate(1, at(7999)), Rate::default());
        assert_eq!(load.rate(1, at(8000)).records, 1000);
        assert_eq!(load.peak(at(8000)).records, 1000);
    }

    #[test]
    fn what_is_offered_slides_and_counts_what_was_refused() {
        let mut load = Load::default();
        load.put(count(600, 0), count(400, 0), at(1500));
        assert_eq!(load.offered(at(1999)).records, 1000);
        assert_eq!(load.offered(at(2250)).records, 750);
        load.put(count(10, 0), count(90, 5), at(2500));
        assert_eq!(load.offered(at(2500)), Rate { records: 600, bytes: 5 });
        assert_eq!(load.offered(at(4000)).records, 0);
    }

    #[test]
    fn reads_and_refusals_are_counted_and_the_age_is_the_largest() {
        let mut load = Load::default();
        load.poll(count(5, 500), 20, at(100));
        load.push(count(5, 400), 7, at(200));
        load.throttle_poll(at(300));
        load.put(Count::default(), count(3, 9), at(400));
        let sums = load.over(60, at(1000));
        assert_eq!((sums.records_out, sums.bytes_out, sums.iterator_age_ms_max), (10, 900, 20));
        assert_eq!((sums.polls, sums.polled_bytes), (1, 500));
        assert_eq!((sums.throttled_records, sums.throttled_bytes), (3, 9));
        assert_eq!(sums.throttled_polls, 1);
    }

    #[test]
    fn an_idle_shard_holds_no_ring_and_keeps_its_totals() {
        let mut load = Load::default();
        assert!(load.ring.is_none());
        load.put(count(1, 1), Count::default(), at(0));
        load.shrink(at(60_000));
        assert!(load.ring.is_some());
        load.shrink(at(61_000));
        assert!(load.ring.is_none());
        assert_eq!(load.total().records_in, 1);
    }

    #[test]
    fn a_clock_read_too_early_adds_to_the_running_second() {
        let mut load = Load::default();
        load.put(count(1, 0), Count::default(), at(5000));
        load.put(count(1, 0), Count::default(), at(4990));
        assert_eq!(load.rate(1, at(6000)).records, 2);
    }

    #[test]
    fn a_rate_says_how_many_shards_take_it_and_which_limit_it_is_near() {
        let rate = Rate { records: 2500, bytes: 1 << 20 };
        assert_eq!((rate.shards(), rate.percent_of_a_shard()), (3, 250));
        assert!(!rate.is_bound_by_bytes());
        assert!(Rate { records: 10, bytes: 1 << 20 }.is_bound_by_bytes());
        assert_eq!(rate.to_string(), "2500 records/s and 1.0 MiB/s");
    }
}
