//! The durability check: reads the stream back and compares it with what was acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::payload::{Payload, Stamp};
use crate::client::Client;
use crate::consumer::{Item, Position};
use crate::error::Result;
use crate::producer::Placed;

/// What a read of everything has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked {
    /// Records of this run.
    pub(super) read: u64,
    pub(super) took: Duration,
    /// Acknowledged, and not there.
    pub(super) missing: u64,
    /// There with other bytes than were put.
    pub(super) changed: u64,
    /// There more than once.
    pub(super) doubled: u64,
    /// There under a number, or in a shard, that its producer was not told.
    pub(super) misplaced: bool,
    /// Not above the record before in their shard.
    pub(super) out_of_order: u64,
}

impl Checked {
    /// Whether everything is as it was acknowledged. Records that were put again, because the
    /// answer to the first attempt got lost, may stand twice.
    pub(super) fn holds(&self, may_stand_twice: u64) -> bool {
        let is_misplaced = self.misplaced && may_stand_twice == 0;
        self.missing == 0
            && self.changed == 0
            && self.out_of_order == 0
            && self.doubled <= may_stand_twice
            && !is_misplaced
    }
}

/// Reads everything that stands in the stream now, by pull.
pub(super) async fn check(
    client: &Client,
    stream: &str,
    run: u64,
    payload: &Payload,
    acknowledged: &[Ledger],
    from: Position,
    mut advance: impl FnMut(u64),
) -> Result<Checked> {
    let started = Instant::now();
    let mut checked = Checked::default();
    let mut found = vec![Ledger::default(); acknowledged.len()];
    let mut newest: HashMap<Arc<str>, u64> = HashMap::new();
    let mut reader = client.read(stream).from(from).until_tip(true).start().await?;
    while let Some(item) = reader.next().await {
        // What is damaged is missing, too.
        let Item::Batch(batch) = item? else { continue };
        let shard_index = shard_index(&batch.shard_id);
        let newest = newest.entry(batch.shard_id).or_default();
        for record in &batch.records {
            if record.sequence_number <= *newest {
                checked.out_of_order += 1;
            }
            *newest = record.sequence_number;
            let Some(stamp) = Stamp::decode(&record.data, run) else { continue };
            let Some(producer) = found.get_mut(stamp.producer as usize) else { continue };
            checked.read += 1;
            if !payload.is_intact(&record.data) {
                checked.changed += 1;
            }
            // What was never acknowledged may stand there all the same.
            if acknowledged[stamp.producer as usize].has(stamp.number) {
                let placed = Placed { shard_index, sequence_number: record.sequence_number };
                if !producer.note(stamp.number, placed) {
                    checked.doubled += 1;
                }
            }
        }
        advance(checked.read);
    }
    checked.took = started.elapsed();
    for (acknowledged, found) in acknowledged.iter().zip(&found) {
        checked.missing += acknowledged.missing_in(found);
        checked.misplaced |= acknowledged.count() == found.count() && !acknowledged.agrees(found);
    }
    Ok(checked)
}

/// 12, for `shardId-000000000012`.
fn shard_index(shard_id: &str) -> u32 {
    shard_id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use crate::producer::Record;

    async fn acknowledged(client: &Client, payload: &Payload) -> Ledger {
        let producer = client.producer("s").start();
        let records = payload.batch(0, 0, 10, 0);
        let outcomes = producer.put_batch(records).await.unwrap().await.unwrap();
        let mut ledger = Ledger::default();
        for (number, outcome) in (0..).zip(outcomes) {
            ledger.note(number, outcome.unwrap());
        }
        ledger
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_found_and_what_is_not_there_is_missed() {
        let (_fake, client) = Fake::start().await;
        client.create_stream("s", 2).await.unwrap();
        let payload = Payload::new(1, 100);
        let mut ledger = acknowledged(&client, &payload).await;
        // Another's record, which is left alone.
        let other = client.producer("s").start();
        other.send_one(Record::new("k", "a line")).await.unwrap();

        let start = Position::TrimHorizon;
        let ledgers = [ledger.clone()];
        let checked = check(&client, "s", 1, &payload, &ledgers, start, |_| {}).await.unwrap();
        assert_eq!(checked.read, 10);
        assert!(checked.holds(0), "{checked:?}");

        ledger.note(10, Placed { shard_index: 0, sequence_number: 1000 });
        let checked = check(&client, "s", 1, &payload, &[ledger], start, |_| {}).await.unwrap();
        assert_eq!(checked.missing, 1);
        assert!(!checked.holds(0));
    }

    #[tokio::test]
    async fn a_record_elsewhere_than_its_producer_was_told_is_found() {
        let (_fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        let payload = Payload::new(1, 100);
        let told = acknowledged(&client, &payload).await;
        let mut wrong = Ledger::default();
        for number in 0..told.count() {
            wrong.note(number, Placed { shard_index: 0, sequence_number: 500 + number });
        }
        let start = Position::TrimHorizon;
        let checked = check(&client, "s", 1, &payload, &[wrong], start, |_| {}).await.unwrap();
        assert!(checked.misplaced && !checked.holds(0), "{checked:?}");
        assert!(checked.holds(1), "a record that may stand twice may be told of either place");
    }

    #[tokio::test]
    async fn changed_bytes_are_found() {
        let (_fake, client) = Fake::start().await;
        client.create_stream("s", 1).await.unwrap();
        let ledger = acknowledged(&client, &Payload::new(1, 100)).await;
        let start = Position::TrimHorizon;
        let other = Payload::new(2, 100);
        let checked = check(&client, "s", 1, &other, &[ledger], start, |_| {}).await.unwrap();
        assert_eq!(checked.changed, 10);
        assert!(!checked.holds(0));
    }
}
