//! GetRecords.

use std::time::Duration;

use anabranch_engine::error::Error;
use anabranch_engine::limits::PAGE_RECORDS_MAX;
use anabranch_engine::{Page, ReadLimit};
use anabranch_proto::v1::{ChildShard, GetRecordsRequest};
use tokio::time::Instant;

use super::error::{OpError, Result};
use super::iterator::ShardIterator;
use super::{Ops, StreamFields, describe, names};
use crate::aws::sequence::Origin;

/// Bytes of a page's records unless the request asks for others: stock clients refuse
/// messages of over 4 MiB.
const PAGE_BYTES_DEFAULT: u32 = 2 << 20;
/// Bytes of a page's or event's records at most.
pub(super) const READ_BYTES_MAX: u32 = 10 << 20;
/// Milliseconds that a long poll waits at most: below the idle limits of common proxies.
const WAIT_MS_MAX: u32 = 30_000;

/// A page of records, and where to go on.
#[derive(Debug)]
pub struct RecordsPage {
    /// The records, encoded.
    pub page: Page,
    /// What the numbers of the shard's records have in common.
    pub origin: Origin,
    /// The iterator behind them; empty at the end of a closed shard.
    pub next_shard_iterator: String,
    /// At the end of a closed shard: where reading goes on.
    pub child_shards: Vec<ChildShard>,
}

impl Ops {
    /// Reads from a position. At the tip it waits as long as the request allows.
    pub(super) async fn get_records(&self, request: GetRecordsRequest) -> Result<RecordsPage> {
        let records_max = PAGE_RECORDS_MAX as u32;
        let limit = ReadLimit {
            records: names::within("limit", request.limit, 1..=records_max, records_max)?,
            bytes: names::within(
                "max_bytes",
                request.max_bytes,
                1..=READ_BYTES_MAX,
                PAGE_BYTES_DEFAULT,
            )?,
        };
        let wait_ms = names::within("wait_ms", request.wait_ms, 0..=WAIT_MS_MAX, 0)?;
        let now_ms = self.engine.now_ms();
        let iterator = ShardIterator::open(&self.seal, &request.shard_iterator, now_ms)?;
        let (stream, shard) = iterator.resolve(&self.engine)?;
        if !request.stream_arn.is_empty() {
            // The iterator names the stream already.
            let fields = StreamFields { name: stream.name().as_str(), arn: &request.stream_arn };
            fields.stream_name()?;
        }
        if request.dry_run {
            return Err(OpError::dry_run());
        }
        let traffic = self.throughput.admit_poll(&stream, shard.id())?;
        let deadline = Instant::now() + Duration::from_millis(wait_ms as u64);
        let origin = describe::origin(&shard);
        let mut progress = shard.progress();
        // A chain of pages is one pass.
        let mut cursor = shard.cursor(iterator.position).going_on();
        let next = |position| {
            ShardIterator::at(&self.engine, &stream, shard.id(), position).seal(&self.seal)
        };
        loop {
            // What becomes durable after this line wakes the wait below.
            progress.borrow_and_update();
            let page = match self.reads.read(&mut cursor, limit).await {
                Ok(page) => page,
                Err(Error::Damage(damage)) => {
                    let next = next(damage.next_readable);
                    let error = OpError::from(Error::Damage(damage));
                    return Err(error.with("next_shard_iterator", next));
                }
                Err(error) => return Err(error.into()),
            };
            let at_tip = page.records == 0 && page.millis_behind == 0 && !page.is_end;
            if !at_tip || wait_ms == 0 || self.wait(&mut progress, deadline).await.is_err() {
                self.metrics.read(&page);
                self.throughput.polled(&traffic, &page);
                if page.records > 0 {
                    cursor.leave_bookmark();
                }
                if page.is_end {
                    let child_shards = describe::child_shards(&stream.shards(), shard.id());
                    let next_shard_iterator = String::new();
                    return Ok(RecordsPage { page, origin, next_shard_iterator, child_shards });
                }
                let next_shard_iterator = next(page.next);
                let child_shards = Vec::new();
                return Ok(RecordsPage { page, origin, next_shard_iterator, child_shards });
            }
        }
    }

    /// Waits for news of a shard; an error says that there will be none in time.
    async fn wait(
        &self,
        progress: &mut tokio::sync::watch::Receiver<anabranch_engine::Progress>,
        deadline: Instant,
    ) -> Result<(), NoNews> {
        tokio::select! {
            changed = progress.changed() => changed.map_err(|_| NoNews),
            () = tokio::time::sleep_until(deadline) => Err(NoNews),
            () = self.shutdown.cancelled() => Err(NoNews),
        }
    }
}

/// Nothing new became durable.
struct NoNews;
