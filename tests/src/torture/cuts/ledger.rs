//! What clients know, and whether the log agrees.
//!
//! After each cut the ledger is given the [`Event`]s of the life that was cut off, and all that
//! stands now. For each shard a [`ShardChecker`] has the history of all lives, and finds what
//! was lost, changed, used twice, put in another order, or has come back. It allows a shard to
//! lose its unsynced end where a cut takes that (`--durability os`, and more than a process
//! died), and never what was served after an earlier cut, also where the next one came before
//! anything else was put. The ledger adds what the history of
//! one shard does not show:
//!
//! - the bytes of a record are those that its producer made, in the shard of its key;
//! - of one call and shard either all records stand or none, because they were one append;
//! - numbers are missing only where a cut was;
//! - a stream that was made is there, and one that was deleted is not.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::event::Event;
use super::load::Made;
use super::read::{Found, ShardKey, Stands};
use super::record::{Door, Identity, PRODUCERS, STREAMS};
use super::tally::Tally;
use crate::checker::{self, Seen, ShardChecker, Violation};

/// What is known of one data directory.
pub(super) struct Ledger {
    may_lose_the_end: bool,
    shards: BTreeMap<ShardKey, Shard>,
    /// Streams that are there, and those that were removed in the life that was cut off.
    names: BTreeSet<String>,
    removed: BTreeSet<String>,
    /// The life that ended with the last cut, once what stood behind it was compared.
    judged: Option<u32>,
}

#[derive(Default)]
struct Shard {
    checker: ShardChecker,
    /// Calls of this life that the checker knows of: producer and batch.
    sent: HashSet<(u32, u64)>,
    /// Whether anybody was told that something stands in it.
    is_known: bool,
    /// What of the checker's findings is in the tally.
    violations: usize,
    unsynced: u64,
}

impl Ledger {
    /// Of an empty directory, whose cuts may take the unsynced end of a shard or not.
    pub(super) fn new(may_lose_the_end: bool) -> Ledger {
        let mut shards: BTreeMap<ShardKey, Shard> = BTreeMap::new();
        for (stream, (_, count)) in STREAMS.into_iter().enumerate() {
            for shard in 0..count {
                let shard = shards.entry((stream as u32, shard)).or_default();
                shard.checker.see(&checker::Event::Opened { is_unsynced: may_lose_the_end });
            }
        }
        let (names, removed) = (BTreeSet::new(), BTreeSet::new());
        Ledger { may_lose_the_end, shards, names, removed, judged: None }
    }

    /// Compares what stands after a cut with what was known before. Where it comes again with
    /// the same life, the cut was one of a server that nobody had put anything to.
    pub(super) fn check(&mut self, life: u32, events: &[Event], found: Found, tally: &mut Tally) {
        for words in &found.damage {
            tally.damage += 1;
            tally.remark(format!("life {life}: read: {words}"));
        }
        for event in events {
            self.take(life, event, &found, tally);
        }
        self.check_names(life, &found.names, tally);
        let is_unsynced = self.may_lose_the_end;
        let is_again = self.judged.replace(life) == Some(life);
        for (key, shard) in &mut self.shards {
            let Some(stands) = found.shards.get(key) else {
                if shard.is_known {
                    tally.lost += 1;
                    tally.remark(format!("life {life}: the stream of shard {key:?} is gone"));
                }
                continue;
            };
            shard.is_known |= !stands.is_empty();
            tally.compared += stands.len() as u64;
            let records = stands.iter().map(|stands| stands.seen).collect();
            let proof = if is_again { &[][..] } else { stands };
            shard.take_whole(life, key.1, records, proof, is_unsynced);
            shard.sent.clear();
            let mut scan = Scan { key: *key, life, stands, tally };
            scan.bytes_and_gaps();
            scan.calls();
            shard.report(*key, life, tally);
        }
    }

    /// What a client did or was told.
    fn take(&mut self, life: u32, event: &Event, found: &Found, tally: &mut Tally) {
        match event {
            Event::Sending { producer, batch } => self.sending(life, *producer, *batch),
            Event::Acknowledged { producer, batch, places } => {
                // Its note may have been lost with a line of a console.
                self.sending(life, *producer, *batch);
                self.acknowledged(life, *producer, *batch, places, tally);
            }
            Event::Shown { stream, shard, from, records } => {
                tally.shown += records.len() as u64;
                let next = records.last().map_or(*from, |last| last.number + 1);
                if let Some(shard) = self.shards.get_mut(&(*stream, *shard)) {
                    shard.is_known = true;
                    let records = records.clone();
                    shard.checker.see(&checker::Event::Page { from: *from, records, next });
                }
            }
            Event::Stood { stream, shard, records } => {
                tally.compared += records.len() as u64;
                let (key, index) = ((*stream, *shard), *shard);
                let proof = found.shards.get(&key).map_or(&[][..], Vec::as_slice);
                if let Some(shard) = self.shards.get_mut(&key) {
                    shard.is_known |= !records.is_empty();
                    let records = records.clone();
                    shard.take_whole(life, index, records, proof, self.may_lose_the_end);
                }
            }
            Event::Damage(words) => {
                tally.damage += 1;
                tally.remark(format!("life {life}: a reader: {words}"));
            }
            // What is removed as soon as it is there may be gone before anybody heard of it.
            Event::Created(name) if Made::of(name).is_some_and(Made::is_removed) => {}
            Event::Created(name) => {
                self.names.insert(name.clone());
            }
            Event::Deleted(name) => {
                self.removed.insert(name.clone());
            }
        }
    }

    fn sending(&mut self, life: u32, producer: u32, batch: u64) {
        let stream = PRODUCERS[producer as usize].stream as u32;
        for ((_, index), shard) in self.shards.range_mut((stream, 0)..(stream + 1, 0)) {
            shard.sending(life, *index, producer, batch);
        }
    }

    fn acknowledged(
        &mut self,
        life: u32,
        producer: u32,
        batch: u64,
        places: &[Option<(u32, u64)>],
        tally: &mut Tally,
    ) {
        let stream = PRODUCERS[producer as usize].stream as u32;
        let mut numbers: BTreeMap<u32, Vec<Option<u64>>> = BTreeMap::new();
        for (index, place) in places.iter().enumerate() {
            let identity = Identity { life, producer, batch, index: index as u32 };
            let number = place.map(|(_, number)| number);
            numbers.entry(identity.shard()).or_default().push(number);
            tally.acknowledged += u64::from(place.is_some());
            if place.is_some_and(|(shard, _)| shard != identity.shard()) {
                tally.wrong += 1;
                tally.remark(format!("{identity:?} was put into a shard that is not its own"));
            }
        }
        for (shard, numbers) in numbers {
            // Where an answer says that it failed, it may stand there nevertheless.
            let Some(numbers) = numbers.into_iter().collect::<Option<Vec<_>>>() else { continue };
            let put = Identity { life, producer, batch, index: 0 }.call();
            let shard = self.shards.get_mut(&(stream, shard)).expect("keys go to shards");
            shard.is_known = true;
            shard.checker.see(&checker::Event::Acknowledged { put, numbers });
        }
    }

    fn check_names(&mut self, life: u32, found: &BTreeSet<String>, tally: &mut Tally) {
        for name in self.names.difference(found) {
            tally.lost += 1;
            tally.remark(format!("life {life}: stream {name} was made and is not there"));
        }
        for name in found.difference(&self.names) {
            // Made in this life, and cut off before anybody heard of it.
            let may_be_new = match Made::of(name) {
                Some(made) => made.life == life && !self.removed.contains(name),
                None => true,
            } && self.judged != Some(life);
            if !may_be_new {
                tally.lost += 1;
                tally.remark(format!("life {life}: stream {name} was removed and is there"));
            }
        }
        // What is there now is served, so it stays.
        self.removed.clear();
        self.names.clone_from(found);
    }
}

impl Shard {
    /// The part of a call that goes to this shard, whose index is given, is about to be put.
    fn sending(&mut self, life: u32, index: u32, producer: u32, batch: u64) {
        if !self.sent.insert((producer, batch)) {
            return;
        }
        let records = call(life, producer, batch).filter(|identity| identity.shard() == index);
        let records: Vec<u64> = records.map(Identity::digest).collect();
        if !records.is_empty() {
            let put = Identity { life, producer, batch, index: 0 }.call();
            let producer = u64::from(life) << 32 | u64::from(producer);
            self.checker.see(&checker::Event::Put { put, producer, records });
        }
    }

    /// The shard as it stands after a cut, with these records.
    fn take_whole(
        &mut self,
        life: u32,
        index: u32,
        records: Vec<Seen>,
        proof: &[Stands],
        is_unsynced: bool,
    ) {
        // A note that a call was about to be made dies with a console: what proves itself a
        // record of this life was sent.
        let new = proof.iter().filter_map(|stands| stands.identity);
        let new = new.filter(|identity| identity.life == life);
        let calls: BTreeSet<_> = new.map(|identity| (identity.producer, identity.batch)).collect();
        for (producer, batch) in calls {
            self.sending(life, index, producer, batch);
        }
        let next = records.iter().map(|seen| seen.number).max().map_or(1, |last| last + 1);
        self.checker.see(&checker::Event::Ended { is_cut: true });
        self.checker.see(&checker::Event::Opened { is_unsynced });
        self.checker.see(&checker::Event::Whole { records, next });
        self.checker.see(&checker::Event::Settled);
    }

    /// Puts what the checker has found since last time into the tally.
    fn report(&mut self, (stream, index): ShardKey, life: u32, tally: &mut Tally) {
        let new = &self.checker.violations()[self.violations..];
        self.violations += new.len();
        tally.unsynced += self.checker.lost_unsynced() - self.unsynced;
        self.unsynced = self.checker.lost_unsynced();
        for violation in new {
            *match violation {
                Violation::Lost { .. } | Violation::Trimmed { .. } => &mut tally.lost,
                Violation::Changed { .. } => &mut tally.wrong,
                Violation::Reused { .. }
                | Violation::Twice { .. }
                | Violation::Inserted { .. }
                | Violation::Risen { .. } => &mut tally.duplicates,
                Violation::Overtaken { .. }
                | Violation::Reordered { .. }
                | Violation::Order { .. } => &mut tally.reordered,
            } += 1;
        }
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            let count = new.len();
            let place = format!("life {life}, stream {stream}, shard {index}");
            tally.remark(format!("{place}: {count} violations, from {first} to {last}"));
        }
    }
}

/// The records of a call.
fn call(life: u32, producer: u32, batch: u64) -> impl Iterator<Item = Identity> {
    let records = PRODUCERS[producer as usize].records;
    (0..records).map(move |index| Identity { life, producer, batch, index })
}

/// A look at one shard after a cut.
struct Scan<'a> {
    key: ShardKey,
    life: u32,
    stands: &'a [Stands],
    tally: &'a mut Tally,
}

impl Scan<'_> {
    fn remark(&mut self, words: &str) {
        let (life, (stream, shard)) = (self.life, self.key);
        self.tally.remark(format!("life {life}, stream {stream}, shard {shard}: {words}"));
    }

    /// Bytes are right, and numbers have no holes but between the records of two lives.
    fn bytes_and_gaps(&mut self) {
        let mut last: Option<(u64, u32)> = None;
        for Stands { seen, identity } in self.stands {
            let Some(identity) = identity else {
                self.tally.wrong += 1;
                self.remark(&format!("wrong bytes in {}", seen.number));
                continue;
            };
            let stream = PRODUCERS[identity.producer as usize].stream as u32;
            if (stream, identity.shard()) != self.key {
                self.tally.wrong += 1;
                self.remark(&format!("{identity:?} stands here, as {}", seen.number));
            }
            if let Some((number, life)) = last
                && seen.number > number + 1
                && identity.life <= life
            {
                self.tally.torn += 1;
                self.remark(&format!("{number} is followed by {}", seen.number));
            }
            last = Some((seen.number, identity.life));
        }
    }

    /// Of one call and shard, all records stand or none.
    fn calls(&mut self) {
        let mut calls: BTreeMap<(u32, u64), usize> = BTreeMap::new();
        for identity in self.stands.iter().filter_map(|stands| stands.identity) {
            if identity.life == self.life {
                *calls.entry((identity.producer, identity.batch)).or_default() += 1;
            }
        }
        for ((producer, batch), count) in calls {
            let all = call(self.life, producer, batch);
            let expected = all.filter(|identity| identity.shard() == self.key.1).count();
            let is_one_append = PRODUCERS[producer as usize].door != Door::Library;
            if is_one_append && count != expected {
                self.tally.torn += 1;
                self.remark(&format!("{count} of {expected} of call {producer} {batch}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stream and shard of all records below, and their producer.
    const DEEP: ShardKey = (1, 0);
    const PRODUCER: u32 = 4;

    fn identity(life: u32, batch: u64) -> Identity {
        Identity { life, producer: PRODUCER, batch, index: 0 }
    }

    fn stands(number: u64, identity: Identity) -> Stands {
        let seen = Seen { number, digest: identity.digest(), arrival_ms: 5 };
        Stands { seen, identity: Some(identity) }
    }

    fn acknowledged(batch: u64, number: u64) -> Event {
        Event::Acknowledged { producer: PRODUCER, batch, places: vec![Some((0, number))] }
    }

    fn found(records: Vec<Stands>) -> Found {
        Found { shards: BTreeMap::from([(DEEP, records)]), ..Found::default() }
    }

    /// Calls 0 to 4, in their order, and then what came of them.
    fn sent(events: &[Event]) -> Vec<Event> {
        let sending = (0..5).map(|batch| Event::Sending { producer: PRODUCER, batch });
        sending.chain(events.iter().cloned()).collect()
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
        let told = sent(&[acknowledged(1, 1), acknowledged(3, 3)]);
        let records: Vec<_> = three()[1..].iter().map(|stands| stands.seen).collect();
        let shown = Event::Shown { stream: 1, shard: 0, from: 2, records };
        let mut second = three();
        second.push(stands(9, identity(1, 0)));
        let lives = vec![(told, three()), (vec![shown, acknowledged(0, 9)], second)];
        let tally = tally(false, lives);
        assert!(!tally.is_violated(), "{tally:?}");
        assert_eq!((tally.acknowledged, tally.shown, tally.compared), (3, 2, 7));
    }

    #[test]
    fn what_is_missing_at_the_end_is_lost_unless_it_may_be() {
        let lives = || vec![(sent(&[acknowledged(3, 3), acknowledged(4, 4)]), three())];
        assert_eq!(tally(false, lives()).lost, 1);
        let end = tally(true, lives());
        assert_eq!((end.lost, end.unsynced, end.is_violated()), (0, 1, false));
    }

    #[test]
    fn what_is_missing_in_the_middle_is_lost_in_any_case() {
        let mut records = three();
        records.remove(1);
        for may_lose_the_end in [false, true] {
            let lives = vec![(sent(&[acknowledged(2, 2)]), records.clone())];
            let tally = tally(may_lose_the_end, lives);
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
    fn what_was_there_between_two_cuts_may_not_go_in_any_case() {
        for may_lose_the_end in [false, true] {
            let records = three().iter().map(|stands| stands.seen).collect();
            let stood = Event::Stood { stream: 1, shard: 0, records };
            let check =
                |left| tally(may_lose_the_end, vec![(sent(std::slice::from_ref(&stood)), left)]);
            let whole = check(three());
            assert!(!whole.is_violated(), "{whole:?}");
            assert!(check(three()[..2].to_vec()).is_violated());
        }
    }

    #[test]
    fn a_number_that_was_told_is_not_used_again() {
        let other = stands(4, identity(1, 0));
        let lives = vec![
            (sent(&[acknowledged(4, 4)]), three()),
            (vec![], three().into_iter().chain([other]).collect()),
        ];
        let tally = tally(true, lives);
        assert_eq!(tally.unsynced, 1, "{tally:?}");
        assert!(tally.is_violated());
    }

    #[test]
    fn what_was_not_there_after_a_cut_does_not_come_back() {
        let lives = vec![(sent(&[]), three()[..2].to_vec()), (vec![], three())];
        assert_eq!(tally(true, lives).duplicates, 1);
    }

    #[test]
    fn wrong_bytes_doubles_and_wrong_orders_are_seen() {
        let wrong = Stands { identity: None, ..stands(1, identity(0, 1)) };
        assert_eq!(tally(false, vec![(vec![], vec![wrong])]).wrong, 1);
        let twice = vec![stands(1, identity(0, 1)), stands(2, identity(0, 1))];
        assert_eq!(tally(false, vec![(vec![], twice)]).duplicates, 1);
        let turned = vec![stands(1, identity(0, 2)), stands(2, identity(0, 1))];
        assert_eq!(tally(false, vec![(sent(&[]), turned)]).reordered, 1);
        let elsewhere = vec![stands(1, Identity { producer: 0, ..identity(0, 1) })];
        assert!(tally(false, vec![(vec![], elsewhere)]).wrong > 0);
    }

    #[test]
    fn a_second_cut_takes_nothing_and_brings_nothing_back() {
        let again = |left: Vec<Stands>| {
            let (mut ledger, mut tally) = (Ledger::new(true), Tally::default());
            ledger.check(0, &sent(&[acknowledged(1, 1)]), found(three()), &mut tally);
            assert!(!tally.is_violated(), "{tally:?}");
            ledger.check(0, &[], found(left), &mut tally);
            tally.is_violated()
        };
        assert!(!again(three()));
        assert!(again(three()[..2].to_vec()));
        let risen = stands(4, identity(0, 4));
        assert!(again(three().into_iter().chain([risen]).collect()));
    }

    #[test]
    fn streams_come_and_go_only_when_asked() {
        let check = |ledger: &mut Ledger, life, events: &[Event], names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let mut tally = Tally::default();
            ledger.check(life, events, Found { names, ..Found::default() }, &mut tally);
            tally.lost
        };
        let created = |name: &str| Event::Created(name.to_owned());
        let deleted = |name: &str| Event::Deleted(name.to_owned());
        let mut ledger = Ledger::new(false);
        // Nobody heard of the second one, and the third was about to be removed.
        let heard = [created("made-1-1"), created("made-1-4")];
        assert_eq!(check(&mut ledger, 1, &heard, &["made-1-1", "made-1-3"]), 0);
        // What was served is gone, and what was not there has come back.
        assert_eq!(check(&mut ledger, 2, &[], &["made-1-1"]), 1);
        assert_eq!(check(&mut ledger, 3, &[], &["made-1-1", "made-2-0"]), 1);
        assert_eq!(check(&mut ledger, 3, &[], &["made-1-1", "made-2-0", "made-3-1"]), 1);
        let heard = [created("made-4-0"), deleted("made-4-0"), created("made-4-1")];
        let left = ["made-1-1", "made-2-0", "made-3-1", "made-4-0"];
        assert_eq!(check(&mut ledger, 4, &heard, &left), 2);
    }
}
