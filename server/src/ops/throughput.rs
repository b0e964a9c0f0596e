//! How much of it a stream lets through: what is put, read and called for is counted here, and in
//! the profile `aws` admitted or refused.
//!
//! A stream follows its own profile, or the server's if it has none. In the profile `open` nothing
//! is refused and everything is counted all the same: scaling, advice and per-shard metrics live
//! on it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anabranch_engine::ids::{ConsumerName, ShardId};
use anabranch_engine::settings::QuotaProfile;
use anabranch_engine::{Engine, Page, Stream};

use super::{Kind, OpError, Operation, Ops, Result};
use crate::traffic::control::{Control, Target};
use crate::traffic::load::Count;
use crate::traffic::quotas;
use crate::traffic::registry::ConsumerTraffic;
use crate::traffic::{ShardTraffic, StreamTraffic, Throttle, Traffic};

/// The traffic of a server, and who admits it.
pub struct Throughput {
    engine: Engine,
    traffic: Traffic,
    control: Control,
    /// Of streams that have no profile of their own, and of calls on none.
    quotas: QuotaProfile,
    account: String,
    /// Streams in CREATING.
    creating: AtomicU32,
}

impl Throughput {
    /// Of a server with that profile; `account` is named in refusals.
    pub fn new(engine: Engine, quotas: QuotaProfile, account: String) -> Arc<Throughput> {
        let (traffic, control) = (Traffic::default(), Control::default());
        let creating = AtomicU32::new(0);
        Arc::new(Throughput { engine, traffic, control, quotas, account, creating })
    }

    /// The time by which everything here is counted.
    pub fn now(&self) -> Duration {
        self.engine.monotonic()
    }

    /// Which profile a stream follows.
    pub fn quotas(&self, stream: &Stream) -> QuotaProfile {
        stream.settings().quotas.unwrap_or(self.quotas)
    }

    /// The traffic of a stream.
    pub fn traffic(&self, stream: &Stream) -> Arc<StreamTraffic> {
        self.traffic.stream(stream.id())
    }

    /// The account that refusals name.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    fn admit_call(
        &self,
        operation: Operation,
        stream: Option<&Stream>,
        shard: Option<ShardId>,
    ) -> Result<()> {
        let profile = stream.map_or(self.quotas, |stream| self.quotas(stream));
        if profile == QuotaProfile::Open {
            return Ok(());
        }
        let target = Target { stream: stream.map(Stream::id), shard };
        let admitted = self.control.admit(operation.name(), target, self.now());
        admitted.map_err(|exceeded| {
            let error = exceeded.error(stream.map(Stream::name), &self.account);
            match shard {
                Some(shard) => error.with("shard_id", shard.to_string()),
                None => error,
            }
        })
    }

    /// Admits a stream that is to be made; it is in CREATING until what is returned is dropped.
    /// `shown` others are there and only shown so.
    pub(super) fn begin_creation(self: &Arc<Self>, shown: u32) -> Result<Creation> {
        let limit = quotas::at_once("streams in CREATING");
        let creation = Creation { throughput: Arc::clone(self) };
        let others = self.creating.fetch_add(1, Ordering::Relaxed) + shown;
        if self.quotas == QuotaProfile::Open || others < limit {
            return Ok(creation);
        }
        let message = format!(
            "account {} has {others} streams in CREATING, and may have {limit} (--quotas aws)",
            self.account
        );
        let error = OpError::new(Kind::LimitExceeded, message);
        Err(error.with("count", others.to_string()).with("max", limit.to_string()))
    }

    /// Admits a call that pulls from a shard; its page is to be counted by what is returned.
    pub(super) fn admit_poll(&self, stream: &Stream, shard: ShardId) -> Result<Arc<ShardTraffic>> {
        let now = self.now();
        let traffic = self.traffic(stream).shard(shard, now);
        if self.quotas(stream) == QuotaProfile::Aws {
            let refused = |throttle: Throttle| throttle.error(shard, stream.name(), &self.account);
            traffic.admit_poll(now).map_err(refused)?;
        }
        Ok(traffic)
    }

    /// A page was pulled.
    pub(super) fn polled(&self, shard: &ShardTraffic, page: &Page) {
        shard.count_poll(count(page), page.millis_behind, self.now());
    }

    /// Admits a call of SubscribeToShard. What is returned paces its events.
    pub(super) fn admit_subscription(
        self: &Arc<Self>,
        stream: &Stream,
        consumer: &ConsumerName,
        shard: ShardId,
    ) -> Result<Pacer> {
        let now = self.now();
        let traffic = self.traffic(stream);
        let pacer = Pacer {
            throughput: Arc::clone(self),
            shard: traffic.shard(shard, now),
            consumer: traffic.consumer(consumer, shard, now),
        };
        if self.quotas(stream) == QuotaProfile::Aws {
            let refused = |retry_after| {
                let message = format!(
                    "Rate exceeded for consumer {consumer} of shard {shard} in stream {} under \
                     account {}.",
                    stream.name(),
                    self.account
                );
                let mut error = OpError::new(Kind::LimitExceeded, message)
                    .with("consumer_name", consumer.as_str())
                    .with("shard_id", shard.to_string());
                error.retry_after = Some(retry_after);
                error
            };
            pacer.consumer.admit_subscription(now).map_err(refused)?;
        }
        Ok(pacer)
    }

    /// Lets go what is gone, and what nobody asked for in a while.
    pub(crate) fn sweep(&self, streams: &[Arc<Stream>]) {
        let now = self.now();
        let ids: HashSet<_> = streams.iter().map(|stream| stream.id()).collect();
        self.traffic.sweep(|id| ids.contains(&id), now);
        for stream in streams {
            if let Some(traffic) = self.traffic.known_stream(stream.id()) {
                let shards = stream.shards();
                traffic.retain_shards(|id| shards.get(id).is_some());
            }
        }
        self.control.sweep(now);
    }
}

/// A stream in CREATING.
pub(super) struct Creation {
    throughput: Arc<Throughput>,
}

impl Drop for Creation {
    fn drop(&mut self) {
        self.throughput.creating.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ops {
    /// Admits a call of an operation on a stream, or on none, as often as the quotas have it.
    pub(super) fn admit(&self, operation: Operation, stream: Option<&Stream>) -> Result<()> {
        self.throughput.admit_call(operation, stream, None)
    }

    /// The same for an operation on a shard.
    pub(super) fn admit_on_shard(
        &self,
        operation: Operation,
        stream: &Stream,
        shard: ShardId,
    ) -> Result<()> {
        self.throughput.admit_call(operation, Some(stream), Some(shard))
    }

    /// An operation that is allowed so many times a day was carried out.
    pub(super) fn succeeded(&self, operation: Operation, stream: &Stream) {
        let Throughput { control, .. } = &*self.throughput;
        let target = Target { stream: Some(stream.id()), shard: None };
        control.succeeded(operation.name(), target, self.throughput.now());
    }
}

/// Counts the events of a subscription, and says how long each has to wait.
pub(crate) struct Pacer {
    throughput: Arc<Throughput>,
    shard: Arc<ShardTraffic>,
    consumer: Arc<ConsumerTraffic>,
}

impl Pacer {
    /// Takes an event of a stream's shard; it is to be sent after this time.
    pub(crate) fn take(&self, stream: &Stream, page: &Page) -> Duration {
        let now = self.throughput.now();
        self.shard.count_push(count(page), page.millis_behind, now);
        match self.throughput.quotas(stream) {
            QuotaProfile::Open => Duration::ZERO,
            // An event is at most 10 MiB and a record.
            QuotaProfile::Aws => self.consumer.pace(page.bytes as u32, now),
        }
    }
}

fn count(page: &Page) -> Count {
    Count { records: page.records as u32, bytes: page.bytes as u64 }
}
