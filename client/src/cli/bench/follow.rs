//! One subscriber of a bench: the server pushes all shards to it while producers put.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::measure::{Measure, Window};
use super::payload::Stamp;
use crate::consumer::{Item, Reader};
use crate::error::Result;

/// How long a subscriber waits for more than it has, once everything is acknowledged.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one subscriber is to do.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) reader: Reader,
    pub(super) run: u64,
    pub(super) begin: Instant,
    pub(super) window: Window,
    /// How many records there are in the end; none while producers are at work.
    pub(super) total: watch::Receiver<Option<u64>>,
}

/// What one subscriber has seen.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) deliveries: Measure,
    pub(super) records: u64,
    /// Records whose number was not above the one before in their shard.
    pub(super) out_of_order: u64,
}

impl Follow {
    /// Reads until everything that was put is here, or nothing comes any more.
    pub(super) async fn run(mut self) -> Result<Followed> {
        let mut followed =
            Followed { deliveries: Measure::new(self.window), records: 0, out_of_order: 0 };
        let mut newest: HashMap<Arc<str>, u64> = HashMap::new();
        loop {
            let total = *self.total.borrow_and_update();
            if total.is_some_and(|total| followed.records >= total) {
                return Ok(followed);
            }
            let item = tokio::select! {
                item = self.reader.next() => item,
                _ = self.total.changed(), if total.is_none() => continue,
                () = tokio::time::sleep(PATIENCE), if total.is_some() => None,
            };
            let arrived = Instant::now();
            let batch = match item.transpose()? {
                None => return Ok(followed),
                // It is not there any more; what is missing shows in the count.
                Some(Item::Damage(_) | Item::End(_)) => continue,
                Some(Item::Batch(batch)) => batch,
            };
            let newest = newest.entry(batch.shard_id).or_default();
            for record in &batch.records {
                if record.sequence_number <= *newest {
                    followed.out_of_order += 1;
                }
                *newest = record.sequence_number;
                if let Some(stamp) = Stamp::decode(&record.data, self.run) {
                    let due = self.begin + Duration::from_nanos(stamp.due_nanos);
                    followed.deliveries.note(due, arrived, 1);
                    followed.records += 1;
                }
            }
        }
    }
}
