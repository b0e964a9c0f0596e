//! Reads a stream as one who knows only iterators: from the shards that it began with to their
//! children, and so on, each one when all that it came from was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anabranch_client::{Client, Position, v1};
use anyhow::Result;

use super::producer::{Place, Producer};
use super::{Course, STREAM, index_of};
use crate::torture::server::{PATIENCE, connect};

/// Between two looks where nothing was found.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where one reads, by shard; and what it has read.
pub(super) struct Follower {
    /// The iterators of the shards that it reads: empty before the first one was asked for.
    reading: BTreeMap<String, String>,
    /// Shards that it has heard of, and those they came from.
    waiting: BTreeMap<String, Vec<String>>,
    ended: BTreeSet<String>,
    /// Producer, order and place of each record, in the order in which they were read.
    read: Vec<(u64, u64, Place)>,
    unknown: u64,
}

/// What of it is not as it should be.
pub(super) struct Found {
    pub(super) read: u64,
    pub(super) lost: u64,
    pub(super) twice: u64,
    pub(super) unknown: u64,
    pub(super) elsewhere: u64,
    pub(super) unordered: u64,
}

impl Follower {
    pub(super) fn new(first: Vec<String>) -> Follower {
        Follower {
            reading: first.into_iter().map(|shard| (shard, String::new())).collect(),
            waiting: BTreeMap::new(),
            ended: BTreeSet::new(),
            read: Vec::new(),
            unknown: 0,
        }
    }

    /// Reads until nothing is put any more, and everything was read.
    pub(super) async fn run(mut self, course: Arc<Course>) -> Result<Follower> {
        let mut life = 0;
        loop {
            let server = tokio::time::timeout(PATIENCE, course.after(life)).await??;
            life = server.0;
            let ended = match connect(server.1).await {
                Ok(client) => self.follow(&course, &client).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => return Ok(self),
                Err(_) if course.is_killed(life) => {}
                Err(error) => {
                    course.trouble(format!("a reader: {error:#}"));
                    return Ok(self);
                }
            }
        }
    }

    async fn follow(&mut self, course: &Course, client: &Client) -> Result<()> {
        loop {
            let is_settled = course.is_settled.load(Ordering::SeqCst);
            let mut is_through = true;
            for shard_id in self.reading.keys().cloned().collect::<Vec<_>>() {
                is_through &= !self.read_on(client, &shard_id).await?;
            }
            if is_through && is_settled {
                return Ok(());
            }
            if is_through {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Reads a page. True: there was something, be it the end.
    async fn read_on(&mut self, client: &Client, shard_id: &str) -> Result<bool> {
        let mut iterator = self.reading[shard_id].clone();
        if iterator.is_empty() {
            let start = client.get_shard_iterator(STREAM, shard_id, Position::TrimHorizon);
            iterator = start.await?;
        }
        let request =
            v1::GetRecordsRequest { shard_iterator: iterator, ..v1::GetRecordsRequest::default() };
        let page = client.get_records(request).await?;
        let shard = index_of(shard_id)?;
        for record in &page.records {
            let (Some(producer), Some(order)) = (record.data.get(..8), record.data.get(8..16))
            else {
                self.unknown += 1;
                continue;
            };
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
            let place = Place { shard, number: record.sequence_number };
            self.read.push((number(producer), number(order), place));
        }
        let is_end = page.next_shard_iterator.is_empty();
        if is_end {
            self.reading.remove(shard_id);
            self.ended.insert(shard_id.to_owned());
            anyhow::ensure!(!page.child_shards.is_empty(), "{shard_id} ends without a child");
            for child in page.child_shards {
                self.waiting.insert(child.shard_id, child.parent_shards);
            }
            let ended = &self.ended;
            let is_due = |_: &String, parents: &mut Vec<String>| {
                parents.iter().all(|parent| ended.contains(parent))
            };
            let due = self.waiting.extract_if(.., is_due).map(|(shard, _)| (shard, String::new()));
            self.reading.extend(due);
        } else {
            *self.reading.get_mut(shard_id).expect("it is read") = page.next_shard_iterator;
        }
        Ok(is_end || !page.records.is_empty() || page.millis_behind_latest > 0)
    }

    /// How many shards it has read, or stands in.
    pub(super) fn shards(&self) -> u64 {
        (self.ended.len() + self.reading.len()) as u64
    }

    /// Holds what was read against what was put.
    pub(super) fn compare(&self, put: &[Producer]) -> Found {
        let mut found = Found {
            read: self.read.len() as u64,
            lost: 0,
            twice: 0,
            unknown: self.unknown,
            elsewhere: 0,
            unordered: 0,
        };
        let mut seen: Vec<Vec<bool>> = vec![Vec::new(); put.len()];
        let mut last = vec![[None; Producer::keys()]; put.len()];
        let by_number = |number: u64| put.iter().find(|producer| producer.number() == number);
        for producer in put {
            seen[producer.number() as usize] = vec![false; producer.placed().len()];
        }
        for &(producer, order, place) in &self.read {
            let told = by_number(producer).and_then(|put| put.placed().get(order as usize));
            let Some(told) = told else {
                found.unknown += 1;
                continue;
            };
            let seen = &mut seen[producer as usize][order as usize];
            found.twice += u64::from(*seen);
            *seen = true;
            found.elsewhere += u64::from(told.is_some_and(|told| told != place));
            let last = &mut last[producer as usize][Producer::key_of(order)];
            found.unordered += u64::from(last.is_some_and(|last| last >= order));
            *last = Some(order);
        }
        for producer in put {
            let seen = &seen[producer.number() as usize];
            let lost =
                producer.placed().iter().zip(seen).filter(|(told, seen)| told.is_some() && !**seen);
            found.lost += lost.count() as u64;
        }
        found
    }
}
