//! What a client may hold us to, checked from what clients saw and from nothing else.
//!
//! A [`ShardChecker`] is fed, in the order of time, with what clients of one shard did and were
//! told: puts and their outcomes, pages read, positions, restarts. It knows the promises, not
//! the engine: its types are plain numbers, it shares no code with the engine or with the
//! model of the simulation, and it does not care whether the events come from the engine's
//! API, from gRPC, or from a file. A record is known by its digest, which the client computes
//! over what it put; clients make every record different.
//!
//! | promise | what is found otherwise |
//! |---|---|
//! | a number holds one record, for ever | [`Violation::Changed`], [`Violation::Reused`] |
//! | a record stands once | [`Violation::Twice`] |
//! | an acknowledged record is there, and so is one that was shown | [`Violation::Lost`] |
//! | what was refused is not there, nor what a whole read has not found | [`Violation::Risen`] |
//! | a put that follows an answer stands behind it | [`Violation::Overtaken`] |
//! | records of a producer keep their order | [`Violation::Reordered`] |
//! | what is put later is not inserted where readers have passed | [`Violation::Inserted`] |
//! | numbers rise in a page, pages do not overlap, arrival times do not fall | [`Violation::Order`] |
//! | trimmed is what is old enough, and the horizon does not fall | [`Violation::Trimmed`] |
//!
//! Gaps in the numbers are allowed; what must not be is that something known stood in them.
//! Two things are allowed to lose records: damage that a reader is told of ([`Event::Damage`]),
//! and a power cut in a run that acknowledges before the sync ([`Event::Opened`]), which loses
//! a suffix, and only of what that very run has put: what a run shows before anything is put
//! in it, it has recovered, and no later cut may take that.

mod ranges;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use ranges::Ranges;

/// What a client computes over a record. Every record that is put has another one.
pub type Digest = u64;

/// A record as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub digest: Digest,
    /// Its stamp, milliseconds since 1970.
    pub arrival_ms: u64,
}

/// Something that a client of one shard did or was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A put is sent. Until more is known it may be kept or not.
    Put {
        /// A number for the put, which no other put has.
        put: u64,
        /// Whoever sends it. A producer sends one put after the other, and is promised that its
        /// records keep that order.
        producer: u64,
        /// Its records.
        records: Vec<Digest>,
    },
    /// A put is acknowledged; its records have these numbers, in order.
    Acknowledged {
        /// The put.
        put: u64,
        /// A number for each of its records.
        numbers: Vec<u64>,
    },
    /// A put is answered, and the answer says that nothing of it was kept.
    Refused {
        /// The put.
        put: u64,
    },
    /// A reader at `from` was given a page and goes on at `next`.
    Page {
        /// Where the reader stood.
        from: u64,
        /// What it was shown.
        records: Vec<Seen>,
        /// Where it stands now.
        next: u64,
    },
    /// The whole shard was read, up to where nothing more came. After a power cut this comes
    /// before any page.
    Whole {
        /// What was read.
        records: Vec<Seen>,
        /// Where the reader stands in the end.
        next: u64,
    },
    /// The shard was read whole after a restart, and nothing else was put before: what is there
    /// stays, and what is not there of the puts so far never comes.
    Settled,
    /// A client is told to wait at a position for what is put from now on.
    Tip {
        /// The position.
        next: u64,
    },
    /// A reader is told that these numbers are lost.
    Damage {
        /// The first.
        first_lost: u64,
        /// The number behind the last.
        next_readable: u64,
    },
    /// What lies below is not returned any more.
    Horizon {
        /// The first number that is.
        to: u64,
        /// What arrived later than this had to be kept.
        cutoff_ms: u64,
    },
    /// The server is gone.
    Ended {
        /// The machine lost its power.
        is_cut: bool,
    },
    /// A server is there again.
    Opened {
        /// It acknowledges what is only written (durability `os`).
        is_unsynced: bool,
    },
}

/// A promise that was not kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Violation {
    /// A number holds another record than before.
    Changed {
        /// The number.
        number: u64,
    },
    /// A number was given to a second record.
    Reused {
        /// The number.
        number: u64,
    },
    /// A record stands in two places.
    Twice {
        /// The one.
        number: u64,
        /// The other.
        again: u64,
    },
    /// A record that was acknowledged or shown is gone.
    Lost {
        /// Its number.
        number: u64,
    },
    /// A record is there that was refused, was gone once, or was never put.
    Risen {
        /// Its number.
        number: u64,
    },
    /// A put was given a number below one that its producer could know when it sent it.
    Overtaken {
        /// The number.
        number: u64,
        /// What was known then.
        floor: u64,
    },
    /// A producer's records stand in another order than they were sent.
    Reordered {
        /// The number that is too low.
        number: u64,
    },
    /// A record appeared where a reader had found none.
    Inserted {
        /// Its number.
        number: u64,
    },
    /// Numbers or times within a page do not rise, or lie outside of it.
    Order {
        /// The first number at fault.
        number: u64,
    },
    /// A horizon fell, or passed a record that was not old enough.
    Trimmed {
        /// The record, or the horizon.
        number: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What is known of a put.
struct Put {
    producer: u64,
    /// Its place among the puts of its producer.
    order: u64,
    records: Vec<Digest>,
    /// No number below this may be given to it.
    floor: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may be kept or not.
    Open,
    /// It is kept.
    Kept,
    /// It is not, and never will be.
    Gone,
}

/// What is known of a number.
struct Known {
    digest: Digest,
    /// `None` until it was read.
    arrival_ms: Option<u64>,
    /// It has to be there.
    is_due: bool,
    /// No power cut may take it.
    is_safe: bool,
}

/// Checks what the clients of one shard saw.
#[derive(Default)]
pub struct ShardChecker {
    puts: HashMap<u64, Put>,
    /// Which put a record came with, and its place in it.
    origin: HashMap<Digest, (u64, usize)>,
    /// Where a record stands.
    places: HashMap<Digest, u64>,
    numbers: BTreeMap<u64, Known>,
    /// The last of each producer: order, place in the put, number.
    producers: HashMap<u64, BTreeMap<(u64, usize), u64>>,
    sent: HashMap<u64, u64>,
    /// What readers have passed.
    passed: Ranges,
    /// Everything that is put from now on lies at or above this.
    floor: u64,
    horizon: u64,
    is_unsynced: bool,
    /// Nothing was put since the server was opened, so what it shows it has recovered.
    is_recovered: bool,
    /// Power was cut in a run that acknowledges before the sync, and nobody has looked yet.
    is_in_doubt: bool,
    violations: Vec<Violation>,
    lost_in_damage: u64,
    lost_unsynced: u64,
    seen: u64,
}

impl ShardChecker {
    /// A shard of which nothing is known, with nothing in it.
    pub fn new() -> ShardChecker {
        ShardChecker::default()
    }

    /// What was found so far, in the order in which it was.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Records that are gone with a word: a reader was told of damage.
    pub fn lost_in_damage(&self) -> u64 {
        self.lost_in_damage
    }

    /// Records that a power cut took and was allowed to take.
    pub fn lost_unsynced(&self) -> u64 {
        self.lost_unsynced
    }

    /// Records that were compared.
    pub fn compared(&self) -> u64 {
        self.seen
    }

    /// Records that were acknowledged or shown and have to be there.
    pub fn due(&self) -> u64 {
        self.numbers.range(self.horizon..).filter(|(_, known)| known.is_due).count() as u64
    }

    /// Takes in what happened next.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Put { put, producer, records } => self.put(*put, *producer, records),
            Event::Acknowledged { put, numbers } => self.acknowledged(*put, numbers),
            Event::Refused { put } => self.refused(*put),
            Event::Page { from, records, next } => {
                self.page(*from, records, *next);
            }
            Event::Whole { records, next } => self.whole(records, *next),
            Event::Settled => self.settled(),
            Event::Tip { next } => self.floor = self.floor.max(*next),
            Event::Damage { first_lost, next_readable } => {
                for (_, known) in self.numbers.range_mut(*first_lost..*next_readable) {
                    self.lost_in_damage += u64::from(known.is_due);
                    known.is_due = false;
                }
            }
            Event::Horizon { to, cutoff_ms } => self.trimmed(*to, *cutoff_ms),
            Event::Ended { is_cut } => self.is_in_doubt |= *is_cut && self.is_unsynced,
            Event::Opened { is_unsynced } => {
                self.is_unsynced = *is_unsynced;
                self.is_recovered = true;
            }
        }
    }

    fn found(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    fn put(&mut self, put: u64, producer: u64, records: &[Digest]) {
        self.is_recovered = false;
        let order = self.sent.entry(producer).or_default();
        *order += 1;
        for (position, digest) in records.iter().enumerate() {
            let before = self.origin.insert(*digest, (put, position));
            assert!(before.is_none(), "a client makes every record different");
        }
        let (order, floor) = (*order, self.floor);
        let records = records.to_vec();
        let sent = Put { producer, order, records, floor, state: State::Open };
        let before = self.puts.insert(put, sent);
        assert!(before.is_none(), "a put has a number of its own");
    }

    fn acknowledged(&mut self, put: u64, numbers: &[u64]) {
        let sent = self.puts.get_mut(&put).expect("only what was put is answered");
        assert_eq!(sent.records.len(), numbers.len(), "a number for each record");
        sent.state = State::Kept;
        let records = sent.records.clone();
        let mut last = None;
        for (digest, &number) in records.into_iter().zip(numbers) {
            if last.is_some_and(|last| number <= last) {
                self.found(Violation::Order { number });
            }
            last = Some(number);
            self.learn(number, digest, None);
        }
        self.floor = self.floor.max(last.map_or(0, |last| last + 1));
    }

    fn refused(&mut self, put: u64) {
        let sent = self.puts.get_mut(&put).expect("only what was put is answered");
        sent.state = State::Gone;
        let records = sent.records.clone();
        for digest in records {
            if let Some(&number) = self.places.get(&digest) {
                self.found(Violation::Risen { number });
            }
        }
    }

    /// A record stands at a number.
    fn learn(&mut self, number: u64, digest: Digest, arrival_ms: Option<u64>) {
        let is_safe = !self.is_unsynced;
        if let Some(known) = self.numbers.get_mut(&number) {
            let is_read = arrival_ms.is_some();
            let is_same = known.digest == digest
                && known.arrival_ms.is_none_or(|known| arrival_ms.is_none_or(|new| new == known));
            if is_same {
                known.arrival_ms = known.arrival_ms.or(arrival_ms);
                if !known.is_due && is_read {
                    // It was given up: lost, and lost it stays.
                    self.found(Violation::Risen { number });
                }
                return;
            }
            return self.found(match is_read {
                true => Violation::Changed { number },
                false => Violation::Reused { number },
            });
        }
        let Some(&(put, position)) = self.origin.get(&digest) else {
            return self.found(Violation::Risen { number });
        };
        if let Some(&again) = self.places.get(&digest) {
            return self.found(Violation::Twice { number: again, again: number });
        }
        let sent = &self.puts[&put];
        let (producer, order, floor) = (sent.producer, sent.order, sent.floor);
        if sent.state == State::Gone {
            self.found(Violation::Risen { number });
        }
        if number < floor {
            self.found(Violation::Overtaken { number, floor });
        } else if self.passed.contains(number) {
            self.found(Violation::Inserted { number });
        }
        let stands = self.producers.entry(producer).or_default();
        let before = stands.range(..(order, position)).next_back();
        let behind = stands.range((order, position)..).next();
        let is_in_order = before.is_none_or(|(_, &before)| before < number)
            && behind.is_none_or(|(_, &behind)| number < behind);
        stands.insert((order, position), number);
        if !is_in_order {
            self.found(Violation::Reordered { number });
        }
        self.places.insert(digest, number);
        self.numbers.insert(number, Known { digest, arrival_ms, is_due: true, is_safe });
    }

    /// What was read between two positions.
    fn page(&mut self, from: u64, records: &[Seen], next: u64) {
        let (mut last, mut last_ms) = (None, 0);
        for seen in records {
            let is_inside = (from..next).contains(&seen.number);
            let is_rising =
                last.is_none_or(|last| last < seen.number) && last_ms <= seen.arrival_ms;
            if !is_inside || !is_rising {
                self.found(Violation::Order { number: seen.number });
            }
            last = Some(seen.number);
            last_ms = last_ms.max(seen.arrival_ms);
            self.seen += 1;
            if seen.number < self.horizon {
                self.found(Violation::Trimmed { number: seen.number });
            }
            self.learn(seen.number, seen.digest, Some(seen.arrival_ms));
            if self.is_recovered
                && let Some(known) = self.numbers.get_mut(&seen.number)
            {
                known.is_safe = true;
            }
        }
        let mut shown: Vec<u64> = records.iter().map(|seen| seen.number).collect();
        shown.sort_unstable();
        let mut missing = Vec::new();
        for (&number, known) in self.numbers.range_mut(from.max(self.horizon)..next.max(from)) {
            if known.is_due && shown.binary_search(&number).is_err() {
                known.is_due = false;
                missing.push(number);
            }
        }
        for number in missing {
            self.found(Violation::Lost { number });
        }
        self.passed.add(from..next);
        self.floor = self.floor.max(next);
    }

    fn whole(&mut self, records: &[Seen], next: u64) {
        if std::mem::take(&mut self.is_in_doubt) {
            self.settle(records);
        }
        self.page(self.horizon, records, next);
        // A tail that is missing lies at or above where the reader was left.
        let mut missing = Vec::new();
        for (&number, known) in self.numbers.range_mut(next..) {
            if known.is_due {
                known.is_due = false;
                missing.push(number);
            }
        }
        for number in missing {
            self.found(Violation::Lost { number });
        }
    }

    /// The first look after the power was cut in a run that acknowledges before the sync: it
    /// may have taken a suffix of what that run put.
    fn settle(&mut self, records: &[Seen]) {
        let is_there = |number: u64| records.binary_search_by_key(&number, |s| s.number).is_ok();
        let mut first_lost = None;
        for (&number, known) in self.numbers.range_mut(self.horizon..) {
            if !known.is_due || known.is_safe || is_there(number) {
                continue;
            }
            first_lost.get_or_insert(number);
            known.is_due = false;
            self.lost_unsynced += 1;
        }
        let end = records.last().map_or(0, |last| last.number);
        if let Some(number) = first_lost.filter(|&first| first < end) {
            // Something behind it survived, be it what nobody was told of: it is a hole, and
            // not a suffix.
            self.found(Violation::Lost { number });
        }
    }

    fn settled(&mut self) {
        for known in self.numbers.values_mut() {
            known.is_safe = true;
        }
        let places = &self.places;
        for put in self.puts.values_mut().filter(|put| put.state == State::Open) {
            let is_kept = put.records.iter().any(|digest| places.contains_key(digest));
            put.state = if is_kept { State::Kept } else { State::Gone };
        }
    }

    fn trimmed(&mut self, to: u64, cutoff_ms: u64) {
        if to < self.horizon {
            return self.found(Violation::Trimmed { number: to });
        }
        let risen = self.numbers.range(self.horizon..to);
        let young = risen
            .filter(|(_, known)| known.is_due && known.arrival_ms.is_some_and(|ms| ms > cutoff_ms));
        let young: Vec<u64> = young.map(|(&number, _)| number).collect();
        for number in young {
            self.found(Violation::Trimmed { number });
        }
        self.horizon = to;
    }
}

#[cfg(test)]
mod tests;
