//! The scaler: once a second every on-demand stream is looked at, and changed if that is due.
//!
//! What to do is for [`decide`] to say, which is pure; here it is carried out, written to the log
//! with its reason, and kept for an hour, to be shown. A change that fails is given up, and the
//! stream is left alone for a while: the load that asked for it asks again.
//!
//! What the scaler knows of the past is in memory: after a restart the peaks of thirty days are
//! forgotten, and a stream keeps the shards it has until it has been cold for the time that a
//! merge takes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anabranch_engine::error::{Error, Result};
use anabranch_engine::ids::StreamId;
use anabranch_engine::reshard::Step;
use anabranch_engine::settings::{Distribution, StreamMode};
use anabranch_engine::{Engine, Shard, Stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ops::Throughput;
use crate::traffic::scaling::{Decision, History, Policy, ShardView, decide};
use crate::traffic::sketch::{self, Halving};

/// How often the streams are looked at. Rates are of whole seconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks between two that also let go what is no longer needed: it goes through all streams and
/// shards, and nothing hurries.
const LOOKS_PER_SWEEP: u32 = 10;

/// For how long a stream is left alone after a change that failed: what stood in the way, a full
/// disk for one, stands there still a second later.
const PAUSE: Duration = Duration::from_secs(30);

/// For how long a decision is shown.
const SHOWN_MS: u64 = 3_600_000;

/// Decisions shown of a stream at most: more than bring a stream to its largest number of shards
/// and back.
const SHOWN_MAX: usize = 1000;

/// Streams that are taken from the engine at a time, so that its list is not locked for long.
const STREAMS_AT_ONCE: usize = 1000;

/// A decision that was carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub decision: Decision,
}

/// Scales the on-demand streams of an engine.
pub struct Scaler {
    engine: Engine,
    throughput: Arc<Throughput>,
    streams: Mutex<HashMap<StreamId, Arc<Mutex<Scaling>>>>,
}

/// What the scaler knows of a stream.
#[derive(Default)]
struct Scaling {
    history: History,
    decided: VecDeque<Decided>,
    /// Nothing is decided before.
    paused_until: Duration,
}

impl Scaler {
    /// Of an engine whose traffic is counted there.
    pub fn new(engine: Engine, throughput: Arc<Throughput>) -> Arc<Scaler> {
        Arc::new(Scaler { engine, throughput, streams: Mutex::default() })
    }

    /// Looks at the streams every second until it is told to stop.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for look in 0u32.. {
            tokio::select! {
                _ = interval.tick() => {}
                () = shutdown.cancelled() => return,
            }
            let scaler = Arc::clone(&self);
            let work = move || scaler.step(look.is_multiple_of(LOOKS_PER_SWEEP));
            if let Err(error) = tokio::task::spawn_blocking(work).await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Looks at all streams once. Waits for the disk where one is changed.
    pub fn step(&self, is_sweep: bool) {
        let mut streams: Vec<Arc<Stream>> = Vec::new();
        loop {
            let last = streams.last().map(|stream| stream.name().clone());
            let more = self.engine.streams(last.as_ref(), STREAMS_AT_ONCE);
            let is_last = more.len() < STREAMS_AT_ONCE;
            streams.extend(more);
            if is_last {
                break;
            }
        }
        for stream in &streams {
            if stream.settings().mode == StreamMode::OnDemand {
                self.scale(stream);
            }
        }
        if is_sweep {
            self.throughput.sweep(&streams);
            let ids: std::collections::HashSet<_> =
                streams.iter().map(|stream| stream.id()).collect();
            self.streams.lock().retain(|id, _| ids.contains(id));
        }
    }

    /// What was decided about a stream in the last hour, the oldest first.
    pub fn decided(&self, stream: StreamId) -> Vec<Decided> {
        let Some(scaling) = self.streams.lock().get(&stream).cloned() else {
            return Vec::new();
        };
        let oldest_ms = self.engine.now_ms().saturating_sub(SHOWN_MS);
        let scaling = scaling.lock();
        scaling.decided.iter().filter(|decided| decided.at_ms >= oldest_ms).cloned().collect()
    }

    fn scale(&self, stream: &Arc<Stream>) {
        let now = self.throughput.now();
        let scaling = Arc::clone(self.streams.lock().entry(stream.id()).or_default());
        let views = self.views(stream, now);
        let decisions = {
            let scaling = &mut *scaling.lock();
            scaling.history.observe(&views, now);
            if now < scaling.paused_until || stream.is_updating() {
                return;
            }
            let policy = Policy::of(stream.settings().warm_throughput_mib_s);
            decide(&views, &scaling.history, policy, now)
        };
        if decisions.is_empty() {
            return;
        }
        let name = stream.name();
        match self.carry_out(stream, &decisions) {
            Ok(()) => {
                for decision in &decisions {
                    info!(stream = %name, %decision, reason = decision.reason(), "resharded");
                }
                scaling.lock().note(decisions, self.engine.now_ms());
            }
            // Somebody else changes it just now, or it is gone; the next look will tell.
            Err(
                Error::StreamUpdating { .. } | Error::StreamDeleted { .. } | Error::ShuttingDown,
            ) => {}
            Err(error) => {
                warn!(stream = %name, %error, "could not reshard; trying again later");
                scaling.lock().paused_until = now + PAUSE;
            }
        }
    }

    fn carry_out(&self, stream: &Arc<Stream>, decisions: &[Decision]) -> Result<()> {
        let step = |decision: &Decision| match *decision {
            Decision::Split { shard, at, .. } => Step::Split { shard, at },
            Decision::Merge { shard, adjacent, .. } => Step::Merge { shard, adjacent },
        };
        let steps: Vec<_> = decisions.iter().map(step).collect();
        self.engine.reshard_unasked(stream, &steps)
    }

    fn views(&self, stream: &Stream, now: Duration) -> Vec<ShardView> {
        let traffic = self.throughput.traffic(stream);
        let is_auto = stream.settings().distribution == Distribution::Auto;
        let now_ms = self.engine.now_ms();
        let view = |shard: &Arc<Shard>| {
            let (id, range) = (shard.id(), shard.hash_key_range());
            let age = Duration::from_millis(now_ms.saturating_sub(shard.created_ms()));
            let mut view = traffic.shard(id, now).view(id, range, age, now);
            if is_auto {
                // No key chooses the shard: any split gives each child half of the load.
                view.halving = sketch::middle(range).map(|at| Halving { at, below: 0.5 });
            }
            view
        };
        stream.shards().open().map(view).collect()
    }
}

impl Scaling {
    fn note(&mut self, decisions: Vec<Decision>, at_ms: u64) {
        let decided = decisions.into_iter().map(|decision| Decided { at_ms, decision });
        self.decided.extend(decided);
        let oldest_ms = at_ms.saturating_sub(SHOWN_MS);
        while self.decided.len() > SHOWN_MAX
            || self.decided.front().is_some_and(|decided| decided.at_ms < oldest_ms)
        {
            self.decided.pop_front();
        }
    }
}
