//! What is set on streams: at their creation, later, and as it is shown.

use v1::MinimumThroughputBillingCommitmentStatus as Commitment;
use v1::RecordDistributionStrategy as Strategy;
use v1::{MetricsName, StreamMode};

use super::*;

fn create(name: &str, mode: StreamMode) -> v1::CreateStreamRequest {
    v1::CreateStreamRequest {
        stream_name: name.to_owned(),
        stream_mode: mode.into(),
        ..Default::default()
    }
}

fn name() -> String {
    "orders".to_owned()
}

impl Fixture {
    fn summary(&self, name: &str) -> v1::StreamDescriptionSummary {
        let stream_name = name.to_owned();
        let request = v1::DescribeStreamSummaryRequest { stream_name, ..Default::default() };
        let described = self.ops.describe_stream_summary(request).unwrap();
        described.stream_description_summary.unwrap()
    }

    async fn on_demand(name: &str) -> Fixture {
        let fixture = Fixture::new();
        fixture.ops.create_stream(create(name, StreamMode::OnDemand)).await.unwrap();
        fixture
    }

    async fn set_mode(&self, name: &str, mode: StreamMode, warm: Option<u32>) -> Result<()> {
        let request = v1::UpdateStreamModeRequest {
            stream_name: name.to_owned(),
            stream_mode: mode.into(),
            warm_throughput_mibps: warm,
            ..Default::default()
        };
        self.ops.update_stream_mode(request).await.map(|_| ())
    }

    async fn warm(&self, name: &str, mib_s: u32) -> Result<v1::UpdateStreamWarmThroughputResponse> {
        let request = v1::UpdateStreamWarmThroughputRequest {
            stream_name: name.to_owned(),
            warm_throughput_mibps: mib_s,
            ..Default::default()
        };
        self.ops.update_stream_warm_throughput(request).await
    }

    async fn distribute(&self, name: &str, strategy: Strategy) -> Result<()> {
        let request = v1::UpdateStreamRecordDistributionStrategyRequest {
            stream_name: name.to_owned(),
            record_distribution_strategy: strategy.into(),
            ..Default::default()
        };
        self.ops.update_stream_record_distribution_strategy(request).await.map(|_| ())
    }

    async fn set_max_record(&self, name: &str, kib: u32) -> Result<()> {
        let request = v1::UpdateMaxRecordSizeRequest {
            stream_name: name.to_owned(),
            max_record_size_in_kib: kib,
            ..Default::default()
        };
        self.ops.update_max_record_size(request).await.map(|_| ())
    }

    async fn set_quotas(&self, name: &str, quotas: i32) -> Result<v1::QuotaProfile> {
        let stream_name = name.to_owned();
        let request = v1::SetQuotasRequest { stream_name, quotas, ..Default::default() };
        self.ops.set_quotas(request).await.map(|set| set.quotas())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_made_with_what_is_set_on_it() {
    let fixture = Fixture::new();
    fixture.commit(Commitment::CommitmentEnabled).await.unwrap();
    let request = v1::CreateStreamRequest {
        tags: [("team".to_owned(), "data".to_owned())].into(),
        warm_throughput_mibps: Some(6),
        max_record_size_in_kib: Some(2048),
        record_distribution_strategy: Strategy::Auto.into(),
        quotas: v1::QuotaProfile::Aws.into(),
        ..create("clicks", StreamMode::OnDemand)
    };
    fixture.ops.create_stream(request).await.unwrap();
    let summary = fixture.summary("clicks");
    assert_eq!(summary.stream_mode(), StreamMode::OnDemand);
    // A shard takes 1 MiB/s.
    assert_eq!(summary.open_shard_count, 6);
    let warm = summary.warm_throughput.unwrap();
    assert_eq!((warm.target_mibps, warm.current_mibps), (6, 6));
    assert_eq!(summary.max_record_size_in_kib, 2048);
    assert_eq!(summary.record_distribution_strategy(), Strategy::Auto);
    assert_eq!((summary.quotas(), summary.has_own_quotas), (v1::QuotaProfile::Aws, true));
    let stream = fixture.ops.stream(StreamFields::by_name("clicks")).unwrap();
    assert_eq!(stream.settings().tags["team"], "data");

    fixture.ops.create_stream(create("orders", StreamMode::Unspecified)).await.unwrap();
    let summary = fixture.summary("orders");
    assert_eq!((summary.stream_mode(), summary.open_shard_count), (StreamMode::Provisioned, 4));
    assert_eq!((summary.warm_throughput, summary.record_distribution_strategy), (None, 0));
    assert_eq!(summary.max_record_size_in_kib, 1024);
    assert_eq!((summary.quotas(), summary.has_own_quotas), (v1::QuotaProfile::Open, false));
    assert_eq!(summary.encryption_type(), v1::EncryptionType::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_together_at_a_creation_is_refused_by_its_field() {
    let fixture = Fixture::new();
    let (provisioned, on_demand) = (StreamMode::Provisioned, StreamMode::OnDemand);
    let make = |mode| create("s", mode);
    for (request, named) in [
        (v1::CreateStreamRequest { stream_mode: 9, ..make(provisioned) }, "stream_mode"),
        (v1::CreateStreamRequest { shard_count: 1, ..make(on_demand) }, "shard_count"),
        (
            v1::CreateStreamRequest { warm_throughput_mibps: Some(1), ..make(provisioned) },
            "warm_throughput_mibps",
        ),
        (
            v1::CreateStreamRequest { warm_throughput_mibps: Some(10_241), ..make(on_demand) },
            "warm_throughput_mibps",
        ),
        (
            v1::CreateStreamRequest {
                record_distribution_strategy: Strategy::Auto.into(),
                ..make(provisioned)
            },
            "record_distribution_strategy",
        ),
        (
            v1::CreateStreamRequest { record_distribution_strategy: 9, ..make(on_demand) },
            "record_distribution_strategy",
        ),
        (v1::CreateStreamRequest { quotas: 9, ..make(provisioned) }, "quotas"),
    ] {
        let refused = fixture.ops.create_stream(request).await;
        assert_eq!(kind(refused.as_ref().map_err(Clone::clone)), Kind::InvalidArgument);
        assert_eq!(field(refused), named);
    }
    for kib in [1023, 10_241] {
        let size = v1::CreateStreamRequest { max_record_size_in_kib: Some(kib), ..make(on_demand) };
        assert_eq!(kind(fixture.ops.create_stream(size).await), Kind::Validation);
    }
    // Without the account's commitment nothing is kept warm.
    let warm = v1::CreateStreamRequest { warm_throughput_mibps: Some(1), ..make(on_demand) };
    assert_eq!(kind(fixture.ops.create_stream(warm).await), Kind::Validation);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_changes_and_takes_with_it_what_is_the_modes() {
    let fixture = Fixture::with_stream("orders", 2).await;
    fixture.commit(Commitment::CommitmentEnabled).await.unwrap();
    fixture.set_mode("orders", StreamMode::OnDemand, Some(8)).await.unwrap();
    let summary = fixture.summary("orders");
    assert_eq!((summary.stream_mode(), summary.open_shard_count), (StreamMode::OnDemand, 2));
    assert_eq!(summary.warm_throughput.unwrap().target_mibps, 8);
    fixture.set_mode("orders", StreamMode::OnDemand, None).await.unwrap();
    assert_eq!(fixture.summary("orders").warm_throughput.unwrap().target_mibps, 8);

    fixture.distribute("orders", Strategy::Auto).await.unwrap();
    // A provisioned stream cannot distribute records by itself.
    let refused = fixture.set_mode("orders", StreamMode::Provisioned, None).await;
    assert_eq!(field(refused), "record_distribution_strategy");
    fixture.distribute("orders", Strategy::UserPartitionKey).await.unwrap();
    fixture.set_mode("orders", StreamMode::Provisioned, None).await.unwrap();
    assert_eq!(fixture.summary("orders").warm_throughput, None);
    fixture.set_mode("orders", StreamMode::OnDemand, None).await.unwrap();
    assert_eq!(fixture.summary("orders").warm_throughput.unwrap().target_mibps, 0);

    assert_eq!(
        field(fixture.set_mode("orders", StreamMode::Unspecified, None).await),
        "stream_mode"
    );
    let warm = fixture.set_mode("orders", StreamMode::Provisioned, Some(1)).await;
    assert_eq!(field(warm), "warm_throughput_mibps");
    let unknown = fixture.set_mode("others", StreamMode::OnDemand, None).await;
    assert_eq!(kind(unknown), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_throughput_needs_a_commitment_and_an_on_demand_stream() {
    let fixture = Fixture::on_demand("clicks").await;
    fixture.create("orders", 1).await;
    assert_eq!(kind(fixture.warm("clicks", 5).await), Kind::Validation);
    fixture.commit(Commitment::CommitmentEnabled).await.unwrap();
    let set = fixture.warm("clicks", 5).await.unwrap();
    assert_eq!(set.stream_name, "clicks");
    let warm = set.warm_throughput.unwrap();
    assert_eq!((warm.target_mibps, warm.current_mibps), (5, 4));
    for mib_s in [0, 5] {
        assert_eq!(kind(fixture.warm("orders", mib_s).await), Kind::Validation);
    }
    assert_eq!(field(fixture.warm("clicks", 10_241).await), "warm_throughput_mibps");
    assert_eq!(kind(fixture.warm("others", 5).await), Kind::ResourceNotFound);
    assert_eq!(fixture.warm("clicks", 0).await.unwrap().warm_throughput.unwrap().target_mibps, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_distributed_by_the_server_on_on_demand_streams_alone() {
    let fixture = Fixture::on_demand("clicks").await;
    fixture.create("orders", 1).await;
    fixture.distribute("clicks", Strategy::Auto).await.unwrap();
    assert_eq!(fixture.summary("clicks").record_distribution_strategy(), Strategy::Auto);
    let named = "record_distribution_strategy";
    assert_eq!(field(fixture.distribute("orders", Strategy::Auto).await), named);
    assert!(fixture.distribute("orders", Strategy::UserPartitionKey).await.is_ok());
    assert_eq!(field(fixture.distribute("clicks", Strategy::Unspecified).await), named);
    let unknown = fixture.distribute("others", Strategy::Auto).await;
    assert_eq!(kind(unknown), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_record_is_set_within_its_limits() {
    let fixture = Fixture::with_stream("orders", 1).await;
    for kib in [10_240, 1024] {
        fixture.set_max_record("orders", kib).await.unwrap();
        assert_eq!(fixture.summary("orders").max_record_size_in_kib, kib);
    }
    let refused = fixture.set_max_record("orders", 1023).await;
    assert_eq!(kind(refused.as_ref().map_err(Clone::clone)), Kind::Validation);
    assert_eq!(
        message(refused),
        "1 validation error detected: Value '1023' at 'maxRecordSizeInKiB' failed to satisfy \
         constraint: Member must have value greater than or equal to 1024"
    );
    assert_eq!(kind(fixture.set_max_record("orders", 10_241).await), Kind::Validation);
    assert_eq!(kind(fixture.set_max_record("others", 1024).await), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_of_a_stream_are_its_own_until_they_are_the_servers_again() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let aws = v1::QuotaProfile::Aws;
    assert_eq!(fixture.set_quotas("orders", aws.into()).await.unwrap(), aws);
    let summary = fixture.summary("orders");
    assert_eq!((summary.quotas(), summary.has_own_quotas), (aws, true));
    let open = v1::QuotaProfile::Open;
    assert_eq!(fixture.set_quotas("orders", 0).await.unwrap(), open);
    let summary = fixture.summary("orders");
    assert_eq!((summary.quotas(), summary.has_own_quotas), (open, false));
    assert_eq!(field(fixture.set_quotas("orders", 9).await), "quotas");
    assert_eq!(kind(fixture.set_quotas("others", 0).await), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_shards_are_switched_on_and_off() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let ops = &fixture.ops;
    let request =
        |stream_name: &str, metrics: &[MetricsName]| v1::EnableEnhancedMonitoringRequest {
            stream_name: stream_name.to_owned(),
            shard_level_metrics: metrics.iter().map(|metric| (*metric).into()).collect(),
            ..Default::default()
        };
    let off = |stream_name: &str, metrics: &[MetricsName]| {
        let request = request(stream_name, metrics);
        v1::DisableEnhancedMonitoringRequest {
            stream_name: request.stream_name,
            shard_level_metrics: request.shard_level_metrics,
            ..Default::default()
        }
    };
    let values = |metrics: &[MetricsName]| -> Vec<i32> {
        metrics.iter().map(|metric| (*metric).into()).collect()
    };
    let one = &[MetricsName::OutgoingBytes];
    let two = &[MetricsName::IncomingBytes, MetricsName::OutgoingBytes];
    let on = ops.enable_enhanced_monitoring(request("orders", one)).await.unwrap();
    assert_eq!(on.current_shard_level_metrics, Vec::<i32>::new());
    assert_eq!(on.desired_shard_level_metrics, values(one));
    assert_eq!((on.stream_name, on.stream_arn.ends_with(":stream/orders")), (name(), true));
    let on = ops.enable_enhanced_monitoring(request("orders", two)).await.unwrap();
    assert_eq!(on.current_shard_level_metrics, values(one));
    assert_eq!(on.desired_shard_level_metrics, values(two));
    assert_eq!(fixture.summary("orders").enhanced_monitoring[0].shard_level_metrics, values(two));
    let all = ops.enable_enhanced_monitoring(request("orders", &[MetricsName::All])).await.unwrap();
    assert_eq!(all.desired_shard_level_metrics, (1..=7).collect::<Vec<_>>());

    let rest = ops.disable_enhanced_monitoring(off("orders", two)).await.unwrap();
    assert_eq!(rest.current_shard_level_metrics.len(), 7);
    assert_eq!(rest.desired_shard_level_metrics.len(), 5);
    let none = ops.disable_enhanced_monitoring(off("orders", &[MetricsName::All])).await.unwrap();
    assert!(none.desired_shard_level_metrics.is_empty());

    let refused = ops.enable_enhanced_monitoring(request("orders", &[])).await;
    assert_eq!(field(refused), "shard_level_metrics");
    let refused = ops.disable_enhanced_monitoring(off("orders", &[MetricsName::Unspecified])).await;
    assert_eq!(field(refused), "shard_level_metrics");
    let refused = ops.enable_enhanced_monitoring(request("others", one)).await;
    assert_eq!(kind(refused), Kind::ResourceNotFound);
    let refused = ops.disable_enhanced_monitoring(off("others", one)).await;
    assert_eq!(kind(refused), Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_found_and_every_stream_is_unencrypted() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let start = |stream_name: &str, encryption_type: v1::EncryptionType, key_id: &str| {
        fixture.ops.start_stream_encryption(v1::StartStreamEncryptionRequest {
            stream_name: stream_name.to_owned(),
            encryption_type: encryption_type.into(),
            key_id: key_id.to_owned(),
            ..Default::default()
        })
    };
    let stop = |stream_name: &str, encryption_type: v1::EncryptionType, key_id: &str| {
        fixture.ops.stop_stream_encryption(v1::StopStreamEncryptionRequest {
            stream_name: stream_name.to_owned(),
            encryption_type: encryption_type.into(),
            key_id: key_id.to_owned(),
            ..Default::default()
        })
    };
    let (kms, none) = (v1::EncryptionType::Kms, v1::EncryptionType::None);
    let refused = start("orders", kms, "alias/aws/kinesis");
    assert_eq!(kind(refused.clone()), Kind::KeyNotFound);
    assert!(message(refused).contains("no key service is configured"));
    assert!(stop("orders", kms, "alias/aws/kinesis").is_ok());
    assert_eq!(fixture.summary("orders").encryption_type(), none);
    assert_eq!(field(start("orders", none, "k")), "encryption_type");
    assert_eq!(field(stop("orders", none, "k")), "encryption_type");
    for key_id in ["", &"k".repeat(2049)] {
        assert_eq!(field(start("orders", kms, key_id)), "key_id");
        assert_eq!(field(stop("orders", kms, key_id)), "key_id");
    }
    assert_eq!(kind(start("others", kms, "k")), Kind::ResourceNotFound);
    assert_eq!(kind(stop("others", kms, "k")), Kind::ResourceNotFound);
}
