//! What clients know, and whether the log agrees.
//!
//! The ledger knows nothing of the server but what its clients were told. After each cut it
//! is given the [`Event`]s of the life that was cut off, and all that stands now:
//!
//! - a record that was acknowledged stands where it was said to stand, once;
//! - a record that a reader was shown stands there, with the same bytes: visible is durable;
//! - what was served after an earlier cut stands there still, and nothing has come between;
//! - a record without an answer stands once or not at all, and of one call and shard either
//!   all records or none do, because they were one append;
//! - numbers rise; none that a client was ever told is used for another record; none is
//!   missing but where a cut was; what a producer put one after the other stands in that order.
//!
//! With `--durability os`, and a cut that takes what was not synced, the first two hold for the
//! records up to some place in each shard, and none behind it: a cut takes from the end. All
//! others hold as they are, and so a record that was served after a cut is safe from the next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::event::Event;
use super::read::{Found, ShardKey, Stands};
use super::record::{Door, Identity, PRODUCERS};
use super::tally::Tally;

/// What is known of one data directory.
pub(super) struct Ledger {
    may_lose_the_end: bool,
    /// What was served after the last cut.
    shards: BTreeMap<ShardKey, Vec<Stands>>,
    /// The highest number that a client was told or shown, in each shard.
    told: BTreeMap<ShardKey, u64>,
    /// Streams that are there for sure, and those that may be.
    names: BTreeSet<String>,
    names_unsure: BTreeSet<String>,
}

/// A record that a client was told about.
struct Told {
    number: u64,
    what: What,
}

/// What makes it the same record.
enum What {
    Acknowledged(Identity),
    Shown { crc: u32 },
}

impl Ledger {
    /// Of an empty directory, whose cuts may take the end of a shard or not.
    pub(super) fn new(may_lose_the_end: bool) -> Ledger {
        Ledger {
            may_lose_the_end,
            shards: BTreeMap::new(),
            told: BTreeMap::new(),
            names: BTreeSet::new(),
            names_unsure: BTreeSet::new(),
        }
    }

    /// Compares what stands after a cut with what was known before.
    pub(super) fn check(&mut self, life: u32, events: &[Event], found: Found, tally: &mut Tally) {
        for words in &found.damage {
            tally.damage += 1;
            tally.remark(format!("life {life}: read: {words}"));
        }
        let told = told_in(life, events, tally);
        self.check_names(events, &found.names, tally);
        let mut identities = HashSet::new();
        for (shard, stands) in found.shards {
            tally.compared += stands.len() as u64;
            let mut shard = ShardCheck { ledger: self, shard, life, stands: &stands, tally };
            shard.numbers_and_bytes(&mut identities);
            shard.served_before();
            shard.calls();
            if let Some(told) = told.get(&shard.shard) {
                shard.told(told);
            }
            let key = shard.shard;
            self.shards.insert(key, stands);
        }
        for (shard, told) in told {
            if !self.shards.contains_key(&shard) {
                tally.lost += told.len() as u64;
                tally.remark(format!("life {life}: shard {shard:?} is gone"));
            }
            let newest = told.iter().map(|told| told.number).max().unwrap_or(0);
            let highest = self.told.entry(shard).or_default();
            *highest = newest.max(*highest);
        }
    }

    fn check_names(&mut self, events: &[Event], found: &BTreeSet<String>, tally: &mut Tally) {
        for event in events {
            match event {
                Event::Creating(name) if self.names.contains(name) => {}
                Event::Creating(name) | Event::Deleting(name) => {
                    self.names.remove(name);
                    self.names_unsure.insert(name.clone());
                }
                Event::Created(name) => {
                    self.names_unsure.remove(name);
                    self.names.insert(name.clone());
                }
                Event::Deleted(name) => {
                    self.names_unsure.remove(name);
                }
                _ => {}
            }
        }
        for name in self.names.difference(found) {
            tally.lost += 1;
            tally.remark(format!("stream {name} was made and is not there"));
        }
        let unsure = &self.names_unsure;
        for name in found.difference(&self.names).filter(|name| !unsure.contains(*name)) {
            tally.lost += 1;
            tally.remark(format!("stream {name} was deleted and is there"));
        }
        // What is there now is served, so it stays.
        self.names_unsure.clear();
        self.names.clone_from(found);
    }
}

/// What the clients were told, by shard.
fn told_in(life: u32, events: &[Event], tally: &mut Tally) -> BTreeMap<ShardKey, Vec<Told>> {
    let mut all: BTreeMap<ShardKey, Vec<Told>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Acknowledged { producer, batch, places } => {
                let stream = PRODUCERS[*producer as usize].stream as u32;
                for (index, place) in places.iter().enumerate() {
                    let Some((shard, number)) = *place else { continue };
                    tally.acknowledged += 1;
                    let (producer, batch, index) = (*producer, *batch, index as u32);
                    let identity = Identity { life, producer, batch, index };
                    let what = What::Acknowledged(identity);
                    all.entry((stream, shard)).or_default().push(Told { number, what });
                }
            }
            Event::Shown { stream, shard, records } => {
                tally.shown += records.len() as u64;
                let mut last = 0;
                let shown = all.entry((*stream, *shard)).or_default();
                for (number, crc) in records.iter().copied() {
                    if number <= last {
                        tally.reordered += 1;
                        tally.remark(format!("life {life}: shown {number} behind {last}"));
                    }
                    last = number;
                    shown.push(Told { number, what: What::Shown { crc } });
                }
            }
            Event::Damage(words) => {
                tally.damage += 1;
                tally.remark(format!("life {life}: a reader: {words}"));
            }
            _ => {}
        }
    }
    all
}

/// The comparison of one shard.
struct ShardCheck<'a> {
    ledger: &'a Ledger,
    shard: ShardKey,
    life: u32,
    stands: &'a [Stands],
    tally: &'a mut Tally,
}

impl ShardCheck<'_> {
    fn remark(&mut self, words: &str) {
        let (life, (stream, shard)) = (self.life, self.shard);
        self.tally.remark(format!("life {life}, stream {stream}, shard {shard}: {words}"));
    }

    fn at(&self, number: u64) -> Option<Stands> {
        let index = self.stands.binary_search_by_key(&number, |stands| stands.number).ok()?;
        Some(self.stands[index])
    }

    /// Numbers rise and have no holes, bytes are right, nobody stands twice, and each
    /// producer's records stand in its order.
    fn numbers_and_bytes(&mut self, identities: &mut HashSet<Identity>) {
        let mut newest: HashMap<u32, Identity> = HashMap::new();
        let mut last: Option<(u64, u32)> = None;
        for stands in self.stands {
            let Some(identity) = stands.identity else {
                self.tally.wrong += 1;
                self.remark(&format!("wrong bytes in {}", stands.number));
                continue;
            };
            if let Some((number, life)) = last {
                if stands.number <= number {
                    self.tally.reordered += 1;
                    self.remark(&format!("{} behind {number}", stands.number));
                } else if stands.number > number + 1 && identity.life <= life {
                    self.tally.torn += 1;
                    self.remark(&format!("{number} is followed by {}", stands.number));
                }
            }
            last = Some((stands.number, identity.life));
            if !identities.insert(identity) {
                self.tally.duplicates += 1;
                self.remark(&format!("{identity:?} stands again as {}", stands.number));
            }
            let before = newest.insert(identity.producer, identity);
            if before.is_some_and(|before| before > identity) {
                self.tally.reordered += 1;
                self.remark(&format!("{identity:?} behind {before:?}"));
            }
        }
    }

    /// What was served after an earlier cut stands as it stood; what is new has numbers that
    /// nobody was told before, and comes from this life.
    fn served_before(&mut self) {
        let before = self.ledger.shards.get(&self.shard).map_or(&[][..], Vec::as_slice);
        let gone = before.iter().filter(|before| self.at(before.number) != Some(**before));
        let gone: Vec<u64> = gone.map(|before| before.number).collect();
        if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
            self.tally.lost += gone.len() as u64;
            let count = gone.len();
            self.remark(&format!("{count} of {first}..={last} were served before and are gone"));
        }
        let told = self.ledger.told.get(&self.shard).copied().unwrap_or(0);
        let told = told.max(before.last().map_or(0, |last| last.number));
        let is_old = |number| before.binary_search_by_key(&number, |old| old.number).is_ok();
        for new in self.stands.iter().filter(|stands| !is_old(stands.number)) {
            if new.number <= told {
                self.tally.duplicates += 1;
                self.remark(&format!("{} is used, and {told} was told before", new.number));
            }
            if new.identity.is_some_and(|identity| identity.life != self.life) {
                self.tally.duplicates += 1;
                self.remark(&format!("{:?} has come back as {}", new.identity, new.number));
            }
        }
    }

    /// Of one call and shard, all records stand or none.
    fn calls(&mut self) {
        let mut calls: BTreeMap<(u32, u64), u32> = BTreeMap::new();
        for identity in self.stands.iter().filter_map(|stands| stands.identity) {
            if identity.life == self.life {
                *calls.entry((identity.producer, identity.batch)).or_default() += 1;
            }
        }
        for ((producer, batch), count) in calls {
            let profile = PRODUCERS[producer as usize];
            let life = self.life;
            let all = (0..profile.records).map(|index| Identity { life, producer, batch, index });
            let expected = all.filter(|identity| identity.shard() == self.shard.1).count() as u32;
            if profile.door != Door::Library && count != expected {
                self.tally.torn += 1;
                self.remark(&format!("{count} of {expected} of call {producer} {batch}"));
            }
        }
    }

    /// What clients were told in this life is so.
    fn told(&mut self, told: &[Told]) {
        let end = self.stands.last().map_or(0, |last| last.number);
        let mut missing: BTreeSet<u64> = BTreeSet::new();
        for told in told {
            let stands = self.at(told.number);
            let is_so = stands.is_some_and(|stands| match told.what {
                What::Acknowledged(identity) => stands.identity == Some(identity),
                What::Shown { crc } => stands.crc == crc,
            });
            if is_so {
                continue;
            }
            let is_behind_the_end = stands.is_none() && told.number > end;
            if self.ledger.may_lose_the_end && is_behind_the_end {
                self.tally.unsynced += u64::from(matches!(told.what, What::Acknowledged(_)));
            } else {
                missing.insert(told.number);
            }
        }
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            self.tally.lost += missing.len() as u64;
            let count = missing.len();
            self.remark(&format!(
                "{count} of {first}..={last} were acknowledged or shown and are not there; \
                 the shard ends at {end}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: ShardKey = (0, 0);

    /// The first batches of one producer that puts record by record, all in shard 0.
    fn identity(life: u32, batch: u64) -> Identity {
        Identity { life, producer: 2, batch, index: 0 }
    }

    fn stands(number: u64, identity: Identity) -> Stands {
        Stands { number, identity: Some(identity), crc: number as u32 }
    }

    fn acknowledged(batch: u64, number: u64) -> Event {
        Event::Acknowledged { producer: 2, batch, places: vec![Some((0, number))] }
    }

    fn found(records: Vec<Stands>) -> Found {
        Found { shards: BTreeMap::from([(WIDE, records)]), ..Found::default() }
    }

    fn tally(may_lose_the_end: bool, lives: Vec<(Vec<Event>, Vec<Stands>)>) -> Tally {
        let mut ledger = Ledger::new(may_lose_the_end);
        let mut tally = Tally::default();
        for (life, (events, records)) in lives.into_iter().enumerate() {
            ledger.check(life as u32, &events, found(records), &mut tally);
        }
        tally
    }

    fn three() -> Vec<Stands> {
        (1..=3).map(|number| stands(number, identity(0, number))).collect()
    }

    #[test]
    fn a_log_that_has_what_was_told_is_found_whole() {
        let told = vec![acknowledged(1, 1), acknowledged(3, 3)];
        let shown = Event::Shown { stream: 0, shard: 0, records: vec![(2, 2), (3, 3)] };
        let mut second = three();
        second.push(stands(9, identity(1, 0)));
        let lives = vec![(told, three()), (vec![shown, acknowledged(0, 9)], second)];
        let tally = tally(false, lives);
        assert!(!tally.is_violated(), "{tally:?}");
        assert_eq!((tally.acknowledged, tally.shown, tally.compared), (3, 2, 7));
    }

    #[test]
    fn what_is_missing_at_the_end_is_lost_unless_it_may_be() {
        let lives = || vec![(vec![acknowledged(3, 3), acknowledged(4, 4)], three())];
        assert_eq!(tally(false, lives()).lost, 1);
        let end = tally(true, lives());
        assert_eq!((end.lost, end.unsynced, end.is_violated()), (0, 1, false));
    }

    #[test]
    fn what_is_missing_in_the_middle_is_lost_in_any_case() {
        let mut records = three();
        records.remove(1);
        for may_lose_the_end in [false, true] {
            let tally = tally(may_lose_the_end, vec![(vec![acknowledged(2, 2)], records.clone())]);
            assert_eq!((tally.lost, tally.torn), (1, 1), "{tally:?}");
        }
    }

    #[test]
    fn what_was_served_once_may_not_go_in_any_case() {
        for may_lose_the_end in [false, true] {
            let lives = vec![(vec![], three()), (vec![], three()[..2].to_vec())];
            assert_eq!(tally(may_lose_the_end, lives).lost, 1);
        }
    }

    #[test]
    fn a_number_that_was_told_is_not_used_again() {
        let other = stands(4, identity(1, 0));
        let lives = vec![
            (vec![acknowledged(4, 4)], three()),
            (vec![], three().into_iter().chain([other]).collect()),
        ];
        let tally = tally(true, lives);
        assert_eq!((tally.unsynced, tally.duplicates), (1, 1), "{tally:?}");
    }

    #[test]
    fn wrong_bytes_doubles_and_wrong_orders_are_seen() {
        let wrong = Stands { identity: None, ..stands(1, identity(0, 1)) };
        assert_eq!(tally(false, vec![(vec![], vec![wrong])]).wrong, 1);
        let twice = vec![stands(1, identity(0, 1)), stands(2, identity(0, 1))];
        assert_eq!(tally(false, vec![(vec![], twice)]).duplicates, 1);
        let turned = vec![stands(1, identity(0, 2)), stands(2, identity(0, 1))];
        assert_eq!(tally(false, vec![(vec![], turned)]).reordered, 1);
        let shown = Event::Shown { stream: 0, shard: 0, records: vec![(2, 77)] };
        assert_eq!(tally(false, vec![(vec![shown], three())]).lost, 1);
    }

    #[test]
    fn streams_come_and_go_only_when_asked() {
        let name = || "made".to_owned();
        let mut ledger = Ledger::new(false);
        let with = || Found { names: BTreeSet::from([name()]), ..Found::default() };
        let mut check = |events: &[Event], found| {
            let mut tally = Tally::default();
            ledger.check(0, events, found, &mut tally);
            tally.lost
        };
        assert_eq!(check(&[Event::Creating(name())], Found::default()), 0);
        assert_eq!(check(&[Event::Creating(name()), Event::Created(name())], with()), 0);
        assert_eq!(check(&[], Found::default()), 1);
        assert_eq!(check(&[Event::Creating(name())], with()), 0);
        assert_eq!(check(&[Event::Deleting(name()), Event::Deleted(name())], with()), 1);
    }
}
