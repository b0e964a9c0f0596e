//! CreateStream.

use anabranch_engine::ids::StreamName;
use anabranch_engine::limits::SHARDS_PER_STREAM_MAX;
use anabranch_engine::settings::StreamMode;
use anabranch_engine::{Engine, StreamSettings};
use anabranch_proto::v1::{CreateStreamRequest, CreateStreamResponse};

use super::{Kind, OpError, Operation, Ops, Result, names, settings, tags};

/// Shards of a stream that is made without saying how many (service).
const SHARDS_DEFAULT: u32 = 4;

impl Ops {
    /// Makes a stream; it is there when the call returns.
    pub(super) async fn create_stream(
        &self,
        request: CreateStreamRequest,
    ) -> Result<CreateStreamResponse> {
        let name = names::stream_name(&request.stream_name)?;
        let shard_count = request.shard_count;
        let settings = self.new_settings(request)?;
        let shard_count = match (settings.mode, shard_count) {
            (StreamMode::OnDemand, 0) => {
                // What it is kept ready for from the start: a shard takes 1 MiB/s.
                settings.warm_throughput_mib_s.clamp(SHARDS_DEFAULT, SHARDS_PER_STREAM_MAX)
            }
            (StreamMode::OnDemand, _) => {
                let why = "is for provisioned streams; the server decides it for this one";
                return Err(OpError::invalid("shard_count", why));
            }
            (StreamMode::Provisioned, 0) => SHARDS_DEFAULT,
            (StreamMode::Provisioned, count) => {
                names::within("shard_count", Some(count), 1..=SHARDS_PER_STREAM_MAX, 1)?;
                count
            }
        };
        // A name that is taken is refused as such, whatever else there may be no more of.
        if self.engine.stream(&name).is_err() {
            match settings.mode {
                StreamMode::Provisioned => self.check_shard_quota(shard_count)?,
                StreamMode::OnDemand => self.check_on_demand_quota()?,
            }
        }
        if self.deleting(&name).is_some() {
            // It is free when the stream of that name is gone.
            return Err(self.already_exists(&name));
        }
        self.admit(Operation::CreateStream, None)?;
        let _creating = self.throughput.begin_creation(self.shown_creating())?;
        let wanted = name.clone();
        let create = move |engine: &Engine| engine.create_stream(&wanted, shard_count, settings);
        let stream = self.blocking(create).await.map_err(|error| match error.kind {
            Kind::AlreadyExists => self.already_exists(&name),
            _ => error,
        })?;
        self.show_creating(&stream);
        Ok(CreateStreamResponse {})
    }

    fn already_exists(&self, name: &StreamName) -> OpError {
        let account = &self.owner.account;
        let message = format!("Stream {name} under account {account} already exists.");
        OpError::new(Kind::AlreadyExists, message).with("stream_name", name.as_str())
    }

    /// What is set on a stream from the start.
    fn new_settings(&self, request: CreateStreamRequest) -> Result<StreamSettings> {
        let default = StreamSettings::default();
        let mode = settings::mode(request.stream_mode)?.unwrap_or_default();
        let warm = request.warm_throughput_mibps.unwrap_or_default();
        let max_record_kib = request.max_record_size_in_kib.unwrap_or(default.max_record_kib);
        let strategy = request.record_distribution_strategy;
        let distribution = settings::distribution(strategy)?.unwrap_or_default();
        settings::check_distribution(mode, distribution)?;
        Ok(StreamSettings {
            mode,
            warm_throughput_mib_s: self.warm_throughput(mode, warm)?,
            max_record_kib: settings::max_record_kib(max_record_kib)?,
            distribution,
            quotas: settings::quotas(request.quotas)?,
            tags: tags::checked(request.tags)?,
            ..default
        })
    }
}
