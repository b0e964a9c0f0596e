//! What a stream's status is, and the delays of the real service for those who ask for them.
//!
//! Here a control operation is done when its call returns, and a stream is ACTIVE, but for the
//! moments in which its shards change. With `--control-delays aws` it is shown for a while in the
//! status in which the service would show it, so that waiters have something to wait for; what was
//! asked for is done and durable all the same. A restart ends all delays.

use std::collections::{BTreeMap, HashMap};

use anabranch_engine::Stream;
use anabranch_engine::ids::{StreamId, StreamName};
use anabranch_proto::v1::{StreamDescription, StreamStatus};
use parking_lot::Mutex;

use super::Ops;

/// For how long a new stream is CREATING, a changed one UPDATING and a deleted one DELETING. The
/// service publishes no figures; these are what its users report of small streams.
const CREATING_MS: u64 = 10_000;
const UPDATING_MS: u64 = 15_000;
const DELETING_MS: u64 = 10_000;

/// The streams that are shown in another status than their own. Nothing is in it without delays.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    is_delaying: bool,
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    streams: HashMap<StreamId, Until<StreamStatus>>,
    /// Deleted streams as they are described. Their names are not free yet.
    deleted: BTreeMap<StreamName, Until<StreamDescription>>,
}

/// Something that holds before a time, in milliseconds since 1970.
#[derive(Debug)]
struct Until<T> {
    end_ms: u64,
    what: T,
}

impl Shown {
    fn sweep(&mut self, now_ms: u64) {
        self.streams.retain(|_, shown| now_ms < shown.end_ms);
        self.deleted.retain(|_, shown| now_ms < shown.end_ms);
    }
}

impl Statuses {
    /// With the service's delays, or with none.
    pub(super) fn new(is_delaying: bool) -> Statuses {
        Statuses { is_delaying, shown: Mutex::default() }
    }

    fn show(&self, stream: StreamId, status: StreamStatus, now_ms: u64, delay_ms: u64) {
        if self.is_delaying {
            let mut shown = self.shown.lock();
            shown.sweep(now_ms);
            shown.streams.insert(stream, Until { end_ms: now_ms + delay_ms, what: status });
        }
    }

    fn of(&self, stream: StreamId, now_ms: u64) -> Option<StreamStatus> {
        if !self.is_delaying {
            return None;
        }
        let shown = self.shown.lock();
        let shown = shown.streams.get(&stream).filter(|shown| now_ms < shown.end_ms)?;
        Some(shown.what)
    }
}

impl Ops {
    /// The status in which a stream is shown.
    pub(super) fn status(&self, stream: &Stream) -> StreamStatus {
        let own = match stream.is_updating() {
            true => StreamStatus::Updating,
            false => StreamStatus::Active,
        };
        self.statuses.of(stream.id(), self.engine.now_ms()).unwrap_or(own)
    }

    /// A stream was made.
    pub(super) fn show_creating(&self, stream: &Stream) {
        let now_ms = self.engine.now_ms();
        self.statuses.show(stream.id(), StreamStatus::Creating, now_ms, CREATING_MS);
    }

    /// How many streams are there and shown as if they were still being made.
    pub(super) fn shown_creating(&self) -> u32 {
        let now_ms = self.engine.now_ms();
        let shown = self.statuses.shown.lock();
        let is_creating = |shown: &&Until<StreamStatus>| {
            shown.what == StreamStatus::Creating && now_ms < shown.end_ms
        };
        shown.streams.values().filter(is_creating).count() as u32
    }

    /// A stream was changed in a way that takes the service some time.
    pub(super) fn show_updating(&self, stream: &Stream) {
        let now_ms = self.engine.now_ms();
        self.statuses.show(stream.id(), StreamStatus::Updating, now_ms, UPDATING_MS);
    }

    /// A stream was deleted that was described like this.
    pub(super) fn show_deleting(&self, name: &StreamName, described: StreamDescription) {
        if !self.statuses.is_delaying {
            return;
        }
        let now_ms = self.engine.now_ms();
        let mut shown = self.statuses.shown.lock();
        shown.sweep(now_ms);
        let described = StreamDescription {
            stream_status: StreamStatus::Deleting.into(),
            shards: Vec::new(),
            has_more_shards: false,
            ..described
        };
        let end_ms = now_ms + DELETING_MS;
        shown.deleted.insert(name.clone(), Until { end_ms, what: described });
    }

    /// The description of a stream that is gone and still shown.
    pub(super) fn deleting(&self, name: &StreamName) -> Option<StreamDescription> {
        if !self.statuses.is_delaying {
            return None;
        }
        let now_ms = self.engine.now_ms();
        let shown = self.statuses.shown.lock();
        let shown = shown.deleted.get(name).filter(|shown| now_ms < shown.end_ms)?;
        Some(shown.what.clone())
    }
}
