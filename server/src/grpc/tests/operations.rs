//! Every call, through the door.

use super::*;
use crate::metrics::Operation;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_leads_to_its_own_operation() {
    let fixture = Fixture::new();
    let routes = routes(fixture.ops.clone()).await;
    for operation in Operation::ALL {
        let path = format!("/{STREAMS}/{}", operation.name());
        // Most are refused for what is missing, and none as unknown or for a failure of ours.
        let response = send(&routes, request(&path, framed(b""))).await;
        let status = status_of(response).await;
        let is_known = matches!(
            status.code(),
            Code::Ok | Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition
        );
        assert!(is_known, "{path} {status}");
        let counted = format!("operation=\"{}\"", operation.name());
        assert!(fixture.ops.metrics().encode().contains(&counted), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_client_sets_what_can_be_set() -> Result<(), Status> {
    let fixture = Fixture::with_stream("orders", 2).await;
    let mut client = client(&fixture).await;
    let stream_name = || "orders".to_owned();
    let arn = || "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned();
    let tags = || [("team".to_owned(), "data".to_owned())].into();
    let keys = || vec!["team".to_owned()];
    let (name, stream_arn) = (stream_name(), arn());
    let request = v1::AddTagsToStreamRequest { stream_name: name, stream_arn, tags: tags() };
    client.add_tags_to_stream(request).await?;
    let request = v1::ListTagsForStreamRequest { stream_name: stream_name(), ..Default::default() };
    assert_eq!(client.list_tags_for_stream(request).await?.into_inner().tags.len(), 1);
    let request = v1::RemoveTagsFromStreamRequest {
        stream_name: stream_name(),
        tag_keys: keys(),
        ..Default::default()
    };
    client.remove_tags_from_stream(request).await?;
    let list = || v1::ListTagsForResourceRequest { resource_arn: arn() };
    assert!(client.list_tags_for_resource(list()).await?.into_inner().tags.is_empty());
    let request = v1::TagResourceRequest { resource_arn: arn(), tags: tags() };
    client.tag_resource(request).await?;
    assert_eq!(client.list_tags_for_resource(list()).await?.into_inner().tags.len(), 1);
    let request = v1::UntagResourceRequest { resource_arn: arn(), tag_keys: keys() };
    client.untag_resource(request).await?;
    assert!(client.list_tags_for_resource(list()).await?.into_inner().tags.is_empty());

    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
        "Principal": "*", "Action": "*"}]}"#;
    let resource_arn = arn();
    let request = v1::PutResourcePolicyRequest { resource_arn, policy: policy.to_owned() };
    client.put_resource_policy(request).await?;
    let get = || v1::GetResourcePolicyRequest { resource_arn: arn() };
    assert_eq!(client.get_resource_policy(get()).await?.into_inner().policy, policy);
    let request = v1::DeleteResourcePolicyRequest { resource_arn: arn() };
    client.delete_resource_policy(request).await?;
    assert_eq!(client.get_resource_policy(get()).await?.into_inner().policy, "{}");

    let request = v1::UpdateAccountSettingsRequest {
        minimum_throughput_billing_commitment: Some(v1::MinimumThroughputBillingCommitmentInput {
            status: v1::MinimumThroughputBillingCommitmentStatus::CommitmentEnabled.into(),
        }),
    };
    let updated = client.update_account_settings(request).await?.into_inner();
    let described = client.describe_account_settings(v1::DescribeAccountSettingsRequest {}).await?;
    assert_eq!(
        described.into_inner().minimum_throughput_billing_commitment,
        updated.minimum_throughput_billing_commitment
    );
    let request = v1::UpdateStreamModeRequest {
        stream_name: stream_name(),
        stream_mode: v1::StreamMode::OnDemand.into(),
        ..Default::default()
    };
    client.update_stream_mode(request).await?;
    let request = v1::UpdateStreamWarmThroughputRequest {
        stream_name: stream_name(),
        warm_throughput_mibps: 3,
        ..Default::default()
    };
    client.update_stream_warm_throughput(request).await?;
    let request = v1::UpdateStreamRecordDistributionStrategyRequest {
        stream_name: stream_name(),
        record_distribution_strategy: v1::RecordDistributionStrategy::Auto.into(),
        ..Default::default()
    };
    client.update_stream_record_distribution_strategy(request).await?;
    let request = v1::UpdateMaxRecordSizeRequest {
        stream_name: stream_name(),
        max_record_size_in_kib: 4096,
        ..Default::default()
    };
    client.update_max_record_size(request).await?;
    let request = v1::SetQuotasRequest {
        stream_name: stream_name(),
        quotas: v1::QuotaProfile::Aws.into(),
        ..Default::default()
    };
    client.set_quotas(request).await?;
    let request = v1::EnableEnhancedMonitoringRequest {
        stream_name: stream_name(),
        shard_level_metrics: vec![v1::MetricsName::All.into()],
        ..Default::default()
    };
    client.enable_enhanced_monitoring(request).await?;
    let request = v1::DisableEnhancedMonitoringRequest {
        stream_name: stream_name(),
        shard_level_metrics: vec![v1::MetricsName::IncomingBytes.into()],
        ..Default::default()
    };
    client.disable_enhanced_monitoring(request).await?;
    let request =
        v1::DescribeStreamSummaryRequest { stream_name: stream_name(), ..Default::default() };
    let summary = client.describe_stream_summary(request).await?.into_inner();
    let summary = summary.stream_description_summary.unwrap();
    assert_eq!(summary.stream_mode(), v1::StreamMode::OnDemand);
    assert_eq!(summary.warm_throughput.unwrap().target_mibps, 3);
    assert_eq!(summary.record_distribution_strategy(), v1::RecordDistributionStrategy::Auto);
    assert_eq!(summary.max_record_size_in_kib, 4096);
    assert_eq!(summary.quotas(), v1::QuotaProfile::Aws);
    assert_eq!(summary.enhanced_monitoring[0].shard_level_metrics.len(), 6);
    let limits = client.describe_limits(v1::DescribeLimitsRequest {}).await?.into_inner();
    assert_eq!((limits.open_shard_count, limits.on_demand_stream_count), (0, 1));

    let request = v1::StartStreamEncryptionRequest {
        stream_name: stream_name(),
        encryption_type: v1::EncryptionType::Kms.into(),
        key_id: "alias/aws/kinesis".to_owned(),
        ..Default::default()
    };
    let refused = client.start_stream_encryption(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(reason(&refused), "KMSNotFoundException");
    let request = v1::StopStreamEncryptionRequest {
        stream_name: stream_name(),
        encryption_type: v1::EncryptionType::Kms.into(),
        key_id: "alias/aws/kinesis".to_owned(),
        ..Default::default()
    };
    client.stop_stream_encryption(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_refused_as_one() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let mut client = client(&fixture).await;
    let request = v1::PutRecordsRequest {
        stream_arn: "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned(),
        records: vec![PutRecordsRequestEntry {
            partition_key: "k".to_owned(),
            ..Default::default()
        }],
        dry_run: true,
        ..Default::default()
    };
    let refused = client.put_records(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "DryRunOperationException");
    let request = v1::PutRecordsRequest { dry_run: false, ..request };
    let put = client.put_records(request).await.unwrap().into_inner();
    assert_eq!(put.records[0].sequence_number, 1);
}
