//! The operations, each once, in a file named after it.
//!
//! An operation checks its request, calls the engine and shapes the reply. It speaks the
//! types of `anabranch.v1`, whatever door the request came through; records alone travel
//! otherwise, as a borrowed [`batch::Batch`] on the way in and as an engine `Page` on the way
//! out. Everything is refused with an [`OpError`].
//!
//! [`Ops`] holds what operations share. Calls into the engine that write its catalog block, and
//! run on the blocking pool; the data path never blocks: a read that may wait for the disk is
//! done on threads of its own.

mod account_limits;
mod add_tags_to_stream;
mod authorize;
pub mod batch;
mod call;
mod caller;
mod cold_reads;
mod commitment;
mod create_stream;
mod decrease_stream_retention_period;
mod delete_resource_policy;
mod delete_stream;
mod deregister_stream_consumer;
pub(crate) mod describe;
mod describe_account_settings;
mod describe_limits;
mod describe_shard_load;
mod describe_stream;
mod describe_stream_consumer;
mod describe_stream_summary;
mod disable_enhanced_monitoring;
mod enable_enhanced_monitoring;
mod encryption;
pub mod error;
pub mod get_records;
mod get_resource_policy;
mod get_shard_iterator;
mod increase_stream_retention_period;
mod iterator;
pub mod kind;
mod list_shards;
mod list_stream_consumers;
mod list_streams;
mod list_tags_for_resource;
mod list_tags_for_stream;
mod merge_shards;
mod monitoring;
mod names;
mod page_token;
mod policy;
pub mod put;
mod put_record;
pub mod put_records;
mod put_resource_policy;
mod register_stream_consumer;
mod remove_tags_from_stream;
mod request_memory;
mod reshard;
mod resource;
mod seal;
mod set_quotas;
mod settings;
mod shard_filter;
mod split_shard;
mod start;
mod start_stream_encryption;
mod statuses;
mod stop_stream_encryption;
mod subscribe_to_shard;
mod tag_resource;
pub(crate) mod tags;
#[cfg(test)]
pub(crate) mod tests;
mod throughput;
mod untag_resource;
mod update_account_settings;
mod update_max_record_size;
mod update_shard_count;
mod update_stream_mode;
mod update_stream_record_distribution_strategy;
mod update_stream_warm_throughput;
mod waiting_room;

use std::sync::Arc;

use anabranch_engine::settings::QuotaProfile;
use anabranch_engine::{Durability, Engine};
use tokio_util::sync::CancellationToken;

pub use self::authorize::Allowed;
pub use self::call::{Call, Target};
pub use self::caller::Caller;
pub(crate) use self::cold_reads::ColdReads;
pub use self::error::{OpError, Result};
pub use self::kind::Kind;
pub use self::names::{ConsumerFields, StreamFields};
use self::put::Puts;
pub(crate) use self::request_memory::{RequestMemory, Share};
use self::seal::Seal;
use self::statuses::Statuses;
pub(crate) use self::throughput::Pacer;
pub use self::throughput::Throughput;
use crate::aws::arn::Owner;
use crate::credentials::Credentials;
use crate::metrics::{Metrics, Operation};
use crate::push::Registry;
use crate::scaler::Scaler;

/// What the operations are told when they are made.
#[derive(Clone, Debug)]
pub struct OpsOptions {
    /// Account and region of the ARNs given out.
    pub owner: Owner,
    /// How durable the engine was told to be, for the metrics.
    pub durability: Durability,
    /// Which limits hold where a stream has none of its own.
    pub quotas: QuotaProfile,
    /// Whether streams are shown CREATING, UPDATING and DELETING for as long as by the real
    /// service.
    pub has_control_delays: bool,
    /// Who may sign in.
    pub credentials: Arc<Credentials>,
    /// Bytes that requests may hold in memory until they are answered, all together. A call that
    /// finds too few left is throttled, unless it is small: 64 KiB are given to each.
    pub request_bytes_max: usize,
}

/// What the operations share.
pub struct Ops {
    engine: Engine,
    owner: Owner,
    credentials: Arc<Credentials>,
    /// Those of resources, as they were read.
    policies: policy::Policies,
    quotas: QuotaProfile,
    statuses: Statuses,
    throughput: Arc<Throughput>,
    puts: Arc<Puts>,
    scaler: Arc<Scaler>,
    seal: Seal,
    subscriptions: Arc<Registry>,
    metrics: Arc<Metrics>,
    reads: ColdReads,
    request_memory: Arc<RequestMemory>,
    shutdown: CancellationToken,
}

impl Ops {
    /// The operations of an engine.
    pub fn new(engine: Engine, options: OpsOptions) -> Arc<Ops> {
        let account = options.owner.account.clone();
        let throughput = Throughput::new(engine.clone(), options.quotas, account);
        let scaler = Scaler::new(engine.clone(), Arc::clone(&throughput));
        let metrics = Metrics::new(engine.clone(), options.durability, Arc::clone(&throughput));
        let metrics = Arc::new(metrics);
        let puts = Arc::new(Puts {
            metrics: Arc::clone(&metrics),
            throughput: Arc::clone(&throughput),
            room: Arc::default(),
        });
        Arc::new(Ops {
            owner: options.owner,
            credentials: options.credentials,
            policies: policy::Policies::default(),
            quotas: options.quotas,
            statuses: Statuses::new(options.has_control_delays),
            throughput,
            puts,
            scaler,
            seal: Seal::new(engine.iterator_key()),
            subscriptions: Arc::default(),
            metrics,
            reads: ColdReads::new(),
            request_memory: RequestMemory::new(options.request_bytes_max),
            shutdown: CancellationToken::new(),
            engine,
        })
    }

    /// Who may sign in.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The server's time, milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.engine.now_ms()
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who scales the on-demand streams. It is to be run.
    pub(crate) fn scaler(&self) -> &Arc<Scaler> {
        &self.scaler
    }

    /// What a call may hold of its request.
    pub(crate) fn request_share(&self) -> Share {
        self.request_memory.share()
    }

    /// Ends what would otherwise last: subscriptions, long polls and `Produce` calls, the last
    /// after their acknowledgements. Other calls go on until the engine is shut down.
    pub fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Is cancelled when [`Ops::begin_shutdown`] is called.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs a call that blocks where blocking is allowed.
    async fn blocking<T, F>(&self, call: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Engine) -> anabranch_engine::error::Result<T> + Send + 'static,
    {
        let engine = self.engine.clone();
        match tokio::task::spawn_blocking(move || call(&engine)).await {
            Ok(result) => Ok(result?),
            // The runtime drops queued calls only when it ends; the call itself may panic.
            Err(error) if error.is_cancelled() => Err(OpError::shutting_down()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Runs a call that may wait for the disk on this thread, telling the runtime to move its other
/// tasks away. A runtime of one thread has nowhere to move them.
pub(crate) fn may_block<T>(call: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(call),
        _ => call(),
    }
}
