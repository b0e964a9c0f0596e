//! The account: its commitment and its limits.

use v1::MinimumThroughputBillingCommitmentStatus as Status;

use super::*;

impl Fixture {
    pub(super) async fn commit(
        &self,
        status: Status,
    ) -> Result<v1::MinimumThroughputBillingCommitment> {
        let input = v1::MinimumThroughputBillingCommitmentInput { status: status.into() };
        let request =
            v1::UpdateAccountSettingsRequest { minimum_throughput_billing_commitment: Some(input) };
        let updated = self.ops.update_account_settings(request).await?;
        Ok(updated.minimum_throughput_billing_commitment.unwrap())
    }

    fn commitment(&self) -> v1::MinimumThroughputBillingCommitment {
        let request = v1::DescribeAccountSettingsRequest::default();
        let described = self.ops.describe_account_settings(request).unwrap();
        described.minimum_throughput_billing_commitment.unwrap()
    }

    fn limits(&self) -> v1::DescribeLimitsResponse {
        self.ops.describe_limits(v1::DescribeLimitsRequest::default()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_that_is_given_up_early_holds_for_24_hours() {
    let fixture = Fixture::new();
    let start_ms = fixture.engine.now_ms();
    assert_eq!(fixture.commitment().status(), Status::CommitmentDisabled);
    assert_eq!(fixture.commitment().started_timestamp_ms, None);

    let enabled = fixture.commit(Status::CommitmentEnabled).await.unwrap();
    assert_eq!(enabled.status(), Status::CommitmentEnabled);
    assert_eq!(enabled.started_timestamp_ms, Some(start_ms));
    let end_ms = start_ms + 24 * 3_600_000;
    assert_eq!(enabled.earliest_allowed_end_timestamp_ms, Some(end_ms));
    assert_eq!(fixture.commitment(), enabled);

    let given_up = fixture.commit(Status::CommitmentDisabled).await.unwrap();
    let held = Status::CommitmentEnabledUntilEarliestAllowedEnd;
    assert_eq!((given_up.status(), given_up.ended_timestamp_ms), (held, None));
    fixture.clock.advance(Duration::from_hours(24));
    let over = fixture.commitment();
    assert_eq!(over.status(), Status::CommitmentDisabled);
    assert_eq!(over.ended_timestamp_ms, Some(end_ms));

    let field_of = async |status| field(fixture.commit(status).await);
    let named = "minimum_throughput_billing_commitment.status";
    assert_eq!(field_of(held).await, named);
    assert_eq!(field_of(Status::Unspecified).await, named);
    let nothing = v1::UpdateAccountSettingsRequest::default();
    assert_eq!(field(fixture.ops.update_account_settings(nothing).await), named);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_servers_quotas() {
    let fixture = Fixture::with_stream("orders", 3).await;
    let on_demand = v1::CreateStreamRequest {
        stream_name: "clicks".to_owned(),
        stream_mode: v1::StreamMode::OnDemand.into(),
        ..Default::default()
    };
    fixture.ops.create_stream(on_demand).await.unwrap();
    let limits = fixture.limits();
    assert_eq!((limits.open_shard_count, limits.on_demand_stream_count), (3, 1));
    assert_eq!((limits.shard_limit, limits.on_demand_stream_count_limit), (1_000_000, 1_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_and_on_demand_streams_have_a_limit_under_the_quotas_of_the_service() {
    let fixture = Fixture::with_quotas(QuotaProfile::Aws);
    fixture.engine.start();
    let create = async |name: &str, shard_count| {
        fixture
            .ops
            .create_stream(v1::CreateStreamRequest {
                stream_name: name.to_owned(),
                shard_count,
                ..Default::default()
            })
            .await
    };
    create("a", 498).await.unwrap();
    let limits = fixture.limits();
    assert_eq!((limits.shard_limit, limits.on_demand_stream_count_limit), (500, 50));
    assert_eq!(limits.open_shard_count, 498);
    let refused = create("b", 3).await;
    assert_eq!(kind(refused.as_ref().map_err(Clone::clone)), Kind::LimitExceeded);
    assert_eq!(
        message(refused),
        "This request would exceed the shard limit for the account 000000000000 in us-east-1. \
         Current shard count for the account: 498. Limit: 500. Number of additional shards that \
         would have resulted from this request: 3. Refer to the AWS Service Limits page \
         (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current \
         limits and how to request higher limits."
    );
    // A name that is taken is refused as such.
    assert_eq!(kind(create("a", 3).await), Kind::AlreadyExists);
    create("b", 2).await.unwrap();
    let split = v1::SplitShardRequest {
        stream_name: "b".to_owned(),
        shard_to_split: "0".to_owned(),
        new_starting_hash_key: "7".to_owned(),
        ..Default::default()
    };
    assert_eq!(kind(fixture.ops.split_shard(split).await), Kind::LimitExceeded);
    let count = v1::UpdateShardCountRequest {
        stream_name: "b".to_owned(),
        target_shard_count: 3,
        ..Default::default()
    };
    assert_eq!(kind(fixture.ops.update_shard_count(count).await), Kind::LimitExceeded);

    let on_demand = async |index: usize| {
        // Five may be made a second.
        fixture.clock.advance(Duration::from_secs(1));
        let request = v1::CreateStreamRequest {
            stream_name: format!("on-demand-{index}"),
            stream_mode: v1::StreamMode::OnDemand.into(),
            ..Default::default()
        };
        fixture.ops.create_stream(request).await
    };
    for index in 0..50 {
        on_demand(index).await.unwrap();
    }
    assert_eq!(kind(on_demand(50).await), Kind::LimitExceeded);
    let mode = async |name: &str, mode: v1::StreamMode| {
        let request = v1::UpdateStreamModeRequest {
            stream_name: name.to_owned(),
            stream_mode: mode.into(),
            ..Default::default()
        };
        fixture.ops.update_stream_mode(request).await
    };
    assert_eq!(kind(mode("a", v1::StreamMode::OnDemand).await), Kind::LimitExceeded);
    let provisioned = mode("on-demand-0", v1::StreamMode::Provisioned).await;
    assert_eq!(kind(provisioned), Kind::LimitExceeded);
    // What a stream is already is no more of it.
    assert!(mode("a", v1::StreamMode::Provisioned).await.is_ok());
    assert!(mode("on-demand-0", v1::StreamMode::OnDemand).await.is_ok());
}
