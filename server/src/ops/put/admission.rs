//! Which records of a run are put: as many of its first ones as the throughput of their shard
//! admits.
//!
//! A run is admitted once, before it is appended for the first time. What is refused becomes a
//! run of its own that has failed, so that nothing else has to know of it. A run that is routed
//! once more, because its shard was closed, is admitted anew by the children.

use std::sync::Arc;

use super::{Batch, NONE, OpError, Routed, Run, RunState, Staged};
use crate::traffic::load::Count;

impl Staged {
    /// Admits the first records of a run, and fails the others.
    pub(super) fn admit(&mut self, run: usize, batch: &Batch<'_>) {
        let count = self.routed.runs[run].size();
        if !self.is_limited || std::mem::replace(&mut self.routed.runs[run].is_admitted, true) {
            return;
        }
        let (id, now) = (self.shard(run).id(), self.shared.throughput.now());
        let sizes = self.routed.records(run, batch.records()).map(|record| record.bytes() as u32);
        let admission = self.traffic.shard(id, now).admit_put(count, sizes, now);
        if let Some(throttle) = admission.throttle {
            let refused = count.records - admission.count.records;
            self.shared.metrics.throttled(u64::from(refused));
            let account = self.shared.throughput.account();
            let error = throttle.error(id, self.stream.name(), account);
            self.routed.refuse(run, admission.count, Arc::new(error));
        }
    }

    /// The records of a run were appended.
    pub(super) fn count(&self, run: usize, batch: &Batch<'_>) {
        let now = self.shared.throughput.now();
        let records = self.routed.records(run, batch.records());
        let count = self.routed.runs[run].size();
        self.traffic.shard(self.shard(run).id(), now).count_put(count, records, now);
    }

    /// The records of a run could not be appended.
    pub(super) fn give_back(&self, run: usize) {
        let now = self.shared.throughput.now();
        let count = self.routed.runs[run].size();
        self.traffic.shard(self.shard(run).id(), now).give_back_put(count, now);
    }
}

impl Run {
    fn size(&self) -> Count {
        Count { records: self.count, bytes: self.bytes }
    }
}

impl Routed {
    /// Leaves a run its first records, those that are `kept`, and fails the others.
    fn refuse(&mut self, run: usize, kept: Count, error: Arc<OpError>) {
        let of = &mut self.runs[run];
        if kept.records == 0 {
            of.state = RunState::Failed(error);
            return;
        }
        let mut last = of.first;
        for _ in 1..kept.records {
            last = self.links[last as usize].next;
        }
        let first = std::mem::replace(&mut self.links[last as usize].next, NONE);
        let refused = Run {
            shard: of.shard,
            first,
            last: of.last,
            count: of.count - kept.records,
            bytes: of.bytes - kept.bytes,
            is_admitted: true,
            state: RunState::Failed(error),
        };
        (of.last, of.count, of.bytes) = (last, kept.records, kept.bytes);
        let mut next = first;
        while next != NONE {
            let link = &mut self.links[next as usize];
            link.run = self.runs.len() as u32;
            next = link.next;
        }
        self.runs.push(refused);
    }
}
