//! What the client does with records: puts, answers, reads.

use anabranch_engine::record::{PartitionKey, RecordView};
use anabranch_engine::sequence::SequenceNumber;
use anabranch_engine::{Error, Page, ReadLimit};

use super::life::{Life, Lived, Presence, Stop, Ticket};
use crate::checker::{Digest, Event, Seen};
use crate::simulation::pool;
use crate::support::{WHOLE, for_each, poll};

impl Life {
    /// Puts records of these sizes, without committing them.
    pub(in crate::torture) fn put(&mut self, stream: &str, shard: usize, sizes: &[usize]) -> Lived {
        let Some(found) = self.find(stream)? else { return Ok(()) };
        let Some(known) = self.streams.get(stream) else { return Ok(()) };
        let is_halted = known.shards[shard].is_halted;
        let first = self.next_record;
        self.next_record += sizes.len() as u64;
        let pool = pool();
        let mut records = Vec::with_capacity(sizes.len());
        for (&size, id) in sizes.iter().zip(first..) {
            let at = self.random.below((pool.len() - size) as u64) as usize;
            records.push((format!("k{id}"), &pool[at..][..size]));
        }
        let digests = records.iter().zip(first..).map(|((_, data), id)| digest(id, data));
        let digests: Vec<Digest> = digests.collect();
        let views = records.iter().map(|(key, data)| {
            let key = PartitionKey::from_bytes(key.as_bytes()).expect("a short key");
            RecordView::new(key, None, data).expect("a small record")
        });
        let put = self.next_put;
        self.next_put += 1;
        match found.shards()[shard].append(views) {
            Ok(_) if is_halted => {
                Err(Stop::Found(format!("the halted shard {shard} of {stream} takes records")))
            }
            Ok(outcome) => {
                self.tally.put += digests.len() as u64;
                self.see(stream, shard, &Event::Put { put, producer: 1, records: digests })?;
                self.tickets.push(Ticket { stream: stream.to_owned(), shard, put, outcome });
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::Halted { .. }) {
                    self.halted(stream, shard);
                }
                self.failed("a put", &error)
            }
        }
    }

    fn halted(&mut self, stream: &str, shard: usize) {
        if let Some(known) = self.streams.get_mut(stream) {
            let known = &mut known.shards[shard];
            self.tally.halted += u64::from(!known.is_halted);
            known.is_halted = true;
        }
    }

    /// Commits what was put, and looks at the answers.
    pub(in crate::torture) fn commit(&mut self) -> Lived {
        let watched = self.watch(true, |life| while life.engine().commit_step() {});
        // An answer that must not have been is worse than what the log does not tell.
        self.collect()?;
        watched?;
        if self.world.fs.is_dead() { Err(Stop::PowerCut) } else { Ok(()) }
    }

    pub(in crate::torture) fn collect(&mut self) -> Lived {
        for mut ticket in std::mem::take(&mut self.tickets) {
            let (stream, shard, put) = (ticket.stream, ticket.shard, ticket.put);
            let Some(outcome) = poll(&mut ticket.outcome) else {
                return Err(Stop::Found("a put is never answered".to_owned()));
            };
            match outcome {
                Ok(appended) => {
                    let numbers: Vec<u64> = (appended.first.0..=appended.last.0).collect();
                    self.tally.acknowledged += numbers.len() as u64;
                    let known = self.streams.get(&stream);
                    if known.is_some_and(|known| known.shards[shard].is_halted) {
                        self.tally.late += numbers.len() as u64;
                        return Err(Stop::Found(format!("a halted log acknowledges {numbers:?}")));
                    }
                    if let Some(known) = self.streams.get_mut(&stream) {
                        // Whatever was asked for and not answered: it takes records.
                        known.presence = Presence::Sure;
                    }
                    self.see(&stream, shard, &Event::Acknowledged { put, numbers })?;
                }
                // The power went; the client was told nothing.
                Err(_) if self.world.fs.is_dead() => {}
                Err(Error::StreamDeleted { .. }) if !self.streams.contains_key(&stream) => {}
                Err(error) => {
                    match &error {
                        Error::DiskFull => {
                            self.tally.refused += 1;
                            self.see(&stream, shard, &Event::Refused { put })?;
                        }
                        Error::Halted { .. } => {
                            self.halted(&stream, shard);
                            self.check_reported(&stream, shard)?;
                        }
                        _ => {}
                    }
                    self.failed("a put", &error)?;
                }
            }
        }
        Ok(())
    }

    /// A log that has halted says so where people look.
    fn check_reported(&mut self, stream: &str, shard: usize) -> Lived {
        let Some(found) = self.find(stream)? else { return Ok(()) };
        let is_told = found.shards()[shard].progress().borrow().halted;
        if is_told && self.engine().stats().halted_logs > 0 {
            return Ok(());
        }
        Err(Stop::Found(format!("shard {shard} of {stream} has halted, and nobody is told")))
    }

    /// Puts records and waits for the answer.
    pub(in crate::torture) fn put_now(
        &mut self,
        stream: &str,
        shard: usize,
        sizes: &[usize],
    ) -> Lived {
        self.put(stream, shard, sizes)?;
        self.commit()
    }

    /// The reader of a shard reads a page.
    pub(in crate::torture) fn read(&mut self, stream: &str, shard: usize) -> Lived {
        let Some(found) = self.find(stream)? else { return Ok(()) };
        let Some(known) = self.streams.get(stream) else { return Ok(()) };
        let from = known.shards[shard].position;
        let limit = ReadLimit {
            records: 1 + self.random.below(6) as usize,
            bytes: 1 << (8 + self.random.below(10)),
        };
        let mut cursor = found.shards()[shard].cursor(SequenceNumber(from));
        let (records, next) = match cursor.read(limit) {
            Ok(page) => (seen(&page), page.next.0),
            Err(error) => match self.passes(&error) {
                Some(behind) => (Vec::new(), behind.0),
                None => return self.failed_read(&error),
            },
        };
        self.see(stream, shard, &Event::Page { from, records, next })?;
        let known = self.streams.get_mut(stream).expect("it was found");
        known.shards[shard].position = next;
        Ok(())
    }

    /// Reads a whole shard. False: something could not be read, and may not be now.
    pub(in crate::torture) fn whole(&mut self, stream: &str, shard: usize) -> Lived<bool> {
        let Some(found) = self.find(stream)? else { return Ok(false) };
        let mut cursor = found.shards()[shard].cursor(SequenceNumber(0));
        let mut records = Vec::new();
        loop {
            match cursor.read(WHOLE) {
                Ok(page) if page.records == 0 => {
                    let next = page.next.0;
                    self.see(stream, shard, &Event::Whole { records, next })?;
                    return Ok(true);
                }
                Ok(page) => records.extend(seen(&page)),
                Err(error) => match self.passes(&error) {
                    Some(behind) if behind > cursor.position() => cursor.seek(behind),
                    _ => return self.failed_read(&error).map(|()| false),
                },
            }
        }
    }

    /// Reads all shards that are known to be there.
    pub(in crate::torture) fn read_all(&mut self) -> Lived {
        for (stream, shard) in self.all_shards() {
            self.whole(&stream, shard)?;
        }
        Ok(())
    }

    /// Every shard of every stream that is there for sure.
    pub(in crate::torture) fn all_shards(&self) -> Vec<(String, usize)> {
        let sure = self.streams.iter().filter(|(_, known)| known.presence == Presence::Sure);
        sure.flat_map(|(stream, known)| (0..known.shards.len()).map(|at| (stream.clone(), at)))
            .collect()
    }
}

/// The id and what the data adds up to.
fn digest(id: u64, data: &[u8]) -> Digest {
    id << 32 | u64::from(crc32fast::hash(data))
}

fn seen(page: &Page) -> Vec<Seen> {
    let mut records = Vec::with_capacity(page.records);
    for_each(page, |record| {
        let id = std::str::from_utf8(record.key).ok();
        let id = id.and_then(|key| key.strip_prefix('k')?.parse().ok()).unwrap_or(u64::MAX >> 32);
        records.push(Seen {
            number: record.sequence.0,
            digest: digest(id, record.data),
            arrival_ms: record.arrival_ms,
        });
    });
    records
}
