//! What is counted and measured, and shown as OpenMetrics text on the admin port.
//!
//! On the data path a metric costs an atomic addition or two and nothing else. What the engine
//! knows is read from it when the metrics are scraped. docs/metrics.md lists every name with
//! type, unit and meaning; a test holds the two together.

mod collector;
mod histogram;
mod operation;
mod shards;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anabranch_engine::{Durability, Engine, Page};
use prometheus_client::registry::Registry;

use self::collector::Scrape;
use self::histogram::DurationHistogram;
pub use self::operation::Operation;
use self::shards::ShardScrape;
use crate::ops::{Kind, Throughput, kind};

/// Success, a deadline of the caller's that passed, and every kind of refusal.
const OUTCOMES: usize = 2 + kind::TABLE.len();
const OUTCOME_OK: usize = 0;
const OUTCOME_DEADLINE: usize = 1;

/// The server's metrics.
pub struct Metrics {
    counters: Arc<Counters>,
    registry: Registry,
}

/// What the server itself counts.
#[derive(Debug)]
struct Counters {
    requests: [[AtomicU64; OUTCOMES]; Operation::ALL.len()],
    in_flight: AtomicI64,
    subscribers: AtomicI64,
    put_duration: DurationHistogram,
    throttled_records: AtomicU64,
    read_records: AtomicU64,
    read_bytes: AtomicU64,
    /// The largest since the last scrape.
    iterator_age_ms_max: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            requests: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            in_flight: AtomicI64::new(0),
            subscribers: AtomicI64::new(0),
            put_duration: DurationHistogram::default(),
            throttled_records: AtomicU64::new(0),
            read_records: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            iterator_age_ms_max: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Metrics of a server on that engine.
    pub fn new(engine: Engine, durability: Durability, throughput: Arc<Throughput>) -> Self {
        let counters = Arc::<Counters>::default();
        let mut registry = Registry::with_prefix("anabranch");
        registry.register_collector(Box::new(ShardScrape { engine: engine.clone(), throughput }));
        registry.register_collector(Box::new(Scrape {
            counters: Arc::clone(&counters),
            engine,
            durability,
        }));
        Metrics { counters, registry }
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes whatever is written to it");
        text
    }

    /// A call of an operation begins; it is in flight until the guard is dropped.
    pub fn call(&self, operation: Operation) -> Call {
        self.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Call { counters: Arc::clone(&self.counters), operation }
    }

    /// A subscription begins; it is counted until the guard is dropped.
    pub fn subscribed(&self) -> SubscriberGuard {
        self.counters.subscribers.fetch_add(1, Ordering::Relaxed);
        SubscriberGuard { counters: Arc::clone(&self.counters) }
    }

    /// Puts were acknowledged, so long after they came in together.
    pub fn acknowledged(&self, after: Duration, puts: u64) {
        self.counters.put_duration.observe(after, puts);
    }

    /// Records found no room in their shard for too long.
    pub fn throttled(&self, records: u64) {
        let counter = &self.counters.throttled_records;
        counter.fetch_add(records, Ordering::Relaxed);
    }

    /// A page was handed out.
    pub fn read(&self, page: &Page) {
        let counters = &self.counters;
        let add = |counter: &AtomicU64, value| counter.fetch_add(value, Ordering::Relaxed);
        add(&counters.read_records, page.records as u64);
        add(&counters.read_bytes, page.bytes as u64);
        let age = &counters.iterator_age_ms_max;
        age.fetch_max(page.millis_behind, Ordering::Relaxed);
    }
}

/// A call in flight.
#[derive(Debug)]
pub struct Call {
    counters: Arc<Counters>,
    operation: Operation,
}

impl Call {
    /// The call ended well.
    pub fn ended(&self) {
        self.count(OUTCOME_OK);
    }

    /// The call was refused.
    pub fn refused(&self, kind: Kind) {
        self.count(2 + kind.series() as usize);
    }

    /// The caller's deadline passed.
    pub fn timed_out(&self) {
        self.count(OUTCOME_DEADLINE);
    }

    fn count(&self, outcome: usize) {
        self.counters.requests[self.operation as usize][outcome].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A subscription that runs.
#[derive(Debug)]
pub struct SubscriberGuard {
    counters: Arc<Counters>,
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        self.counters.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
