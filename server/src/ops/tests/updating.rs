//! What is refused while a stream is UPDATING.
//!
//! A thread splits and merges the shards of a stream all the time, so that most calls meet it while
//! it is UPDATING; each is made until one does. Those that come between are carried out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anabranch_engine::error::Error;
use anabranch_engine::hash_key::HashKey;
use anabranch_engine::reshard::Step;

use super::*;

/// Far more than it takes: nearly all of a reshard's time the stream is UPDATING.
const RESHARDS_MAX: usize = 1_000;

/// Resharding until it is dropped.
struct Unrest {
    is_over: Arc<AtomicBool>,
    /// How often it has tried.
    reshards: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Unrest {
    fn of(fixture: &Fixture, stream: &str) -> Unrest {
        let stream = fixture.ops.stream(StreamFields::by_name(stream)).unwrap();
        let engine = fixture.engine.clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let reshards = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reshards);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let open: Vec<_> = stream.shards().open().map(|shard| shard.id()).collect();
                let step = match open[..] {
                    [shard] => Step::Split { shard, at: HashKey(1 << 100) },
                    [shard, adjacent] => Step::Merge { shard, adjacent },
                    _ => panic!("there are one or two: {open:?}"),
                };
                match engine.reshard(&stream, &[step]) {
                    // A call of the test may be quicker.
                    Ok(()) | Err(Error::StreamUpdating { .. } | Error::ShardClosed { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Unrest { is_over, reshards, thread: Some(thread) }
    }

    /// Makes a call until it is refused, and says so if it is for another reason.
    async fn refuses<T>(&self, operation: &str, call: impl AsyncFn() -> Result<T>) {
        let reshards = || self.reshards.load(Ordering::Relaxed);
        let end = reshards() + RESHARDS_MAX;
        let is_going_on = || self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        while reshards() < end && is_going_on() {
            match call().await {
                Ok(_) => std::thread::yield_now(),
                Err(error) if error.kind == Kind::KeyNotFound => std::thread::yield_now(),
                Err(error) => {
                    assert_eq!(error.kind, Kind::ResourceInUse, "{operation}: {error}");
                    assert_eq!(
                        error.message,
                        "Stream orders under account 000000000000 not ACTIVE, instead in state \
                         UPDATING",
                        "{operation}"
                    );
                    return;
                }
            }
        }
        panic!("{operation} was never refused");
    }
}

impl Drop for Unrest {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("it is dropped once").join();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_on_a_stream_is_not_changed_while_it_is_updating() {
    let fixture = Fixture::new();
    fixture.commit(v1::MinimumThroughputBillingCommitmentStatus::CommitmentEnabled).await.unwrap();
    let request = v1::CreateStreamRequest {
        stream_name: "orders".to_owned(),
        stream_mode: v1::StreamMode::OnDemand.into(),
        ..Default::default()
    };
    fixture.ops.create_stream(request).await.unwrap();
    let stream = fixture.ops.stream(StreamFields::by_name("orders")).unwrap();
    // One shard, for the thread to begin with.
    let steps = anabranch_engine::reshard::uniform(&stream.shards(), 1).unwrap();
    fixture.engine.reshard(&stream, &steps).unwrap();
    let consumer = fixture.register("orders", "analytics").await;
    let unrest = Unrest::of(&fixture, "orders");
    let ops = &fixture.ops;
    let stream_name = || "orders".to_owned();
    let tags = || [("k".to_owned(), "v".to_owned())].into();
    let tag_keys = || vec!["k".to_owned()];

    unrest
        .refuses("AddTagsToStream", async || {
            let (stream_name, tags) = (stream_name(), tags());
            ops.add_tags_to_stream(v1::AddTagsToStreamRequest {
                stream_name,
                tags,
                ..Default::default()
            })
            .await
        })
        .await;
    unrest
        .refuses("RemoveTagsFromStream", async || {
            let (stream_name, tag_keys) = (stream_name(), tag_keys());
            let request =
                v1::RemoveTagsFromStreamRequest { stream_name, tag_keys, ..Default::default() };
            ops.remove_tags_from_stream(request).await
        })
        .await;
    for arn in [&consumer.stream_arn, &consumer.consumer_arn] {
        let resource_arn = || arn.clone();
        unrest
            .refuses("TagResource", async || {
                let (resource_arn, tags) = (resource_arn(), tags());
                ops.tag_resource(v1::TagResourceRequest { resource_arn, tags }).await
            })
            .await;
        unrest
            .refuses("UntagResource", async || {
                let (resource_arn, tag_keys) = (resource_arn(), tag_keys());
                ops.untag_resource(v1::UntagResourceRequest { resource_arn, tag_keys }).await
            })
            .await;
        unrest
            .refuses("PutResourcePolicy", async || {
                let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny",
                "Principal": "*", "Action": "*"}]}"#;
                let (resource_arn, policy) = (resource_arn(), policy.to_owned());
                ops.put_resource_policy(v1::PutResourcePolicyRequest { resource_arn, policy }).await
            })
            .await;
        unrest
            .refuses("DeleteResourcePolicy", async || {
                let request = v1::DeleteResourcePolicyRequest { resource_arn: resource_arn() };
                ops.delete_resource_policy(request).await
            })
            .await;
    }
    let all = || vec![v1::MetricsName::All.into()];
    unrest
        .refuses("EnableEnhancedMonitoring", async || {
            let (stream_name, shard_level_metrics) = (stream_name(), all());
            let stream_arn = String::new();
            let request = v1::EnableEnhancedMonitoringRequest {
                stream_name,
                stream_arn,
                shard_level_metrics,
            };
            ops.enable_enhanced_monitoring(request).await
        })
        .await;
    unrest
        .refuses("DisableEnhancedMonitoring", async || {
            let (stream_name, shard_level_metrics) = (stream_name(), all());
            let stream_arn = String::new();
            let request = v1::DisableEnhancedMonitoringRequest {
                stream_name,
                stream_arn,
                shard_level_metrics,
            };
            ops.disable_enhanced_monitoring(request).await
        })
        .await;
    unrest
        .refuses("UpdateMaxRecordSize", async || {
            let request = v1::UpdateMaxRecordSizeRequest {
                stream_name: stream_name(),
                max_record_size_in_kib: 2048,
                ..Default::default()
            };
            ops.update_max_record_size(request).await
        })
        .await;
    unrest
        .refuses("UpdateStreamRecordDistributionStrategy", async || {
            let request = v1::UpdateStreamRecordDistributionStrategyRequest {
                stream_name: stream_name(),
                record_distribution_strategy: v1::RecordDistributionStrategy::UserPartitionKey
                    .into(),
                ..Default::default()
            };
            ops.update_stream_record_distribution_strategy(request).await
        })
        .await;
    unrest
        .refuses("UpdateStreamWarmThroughput", async || {
            let request = v1::UpdateStreamWarmThroughputRequest {
                stream_name: stream_name(),
                warm_throughput_mibps: 1,
                ..Default::default()
            };
            ops.update_stream_warm_throughput(request).await
        })
        .await;
    unrest
        .refuses("UpdateStreamMode", async || {
            let request = v1::UpdateStreamModeRequest {
                stream_name: stream_name(),
                stream_mode: v1::StreamMode::OnDemand.into(),
                ..Default::default()
            };
            ops.update_stream_mode(request).await
        })
        .await;
    unrest
        .refuses("SetQuotas", async || {
            let stream_name = stream_name();
            ops.set_quotas(v1::SetQuotasRequest { stream_name, ..Default::default() }).await
        })
        .await;
    let (kms, key_id) = (v1::EncryptionType::Kms.into(), || "k".to_owned());
    unrest
        .refuses("StartStreamEncryption", async || {
            let (stream_name, encryption_type, key_id) = (stream_name(), kms, key_id());
            let stream_arn = String::new();
            ops.start_stream_encryption(v1::StartStreamEncryptionRequest {
                stream_name,
                stream_arn,
                encryption_type,
                key_id,
            })
        })
        .await;
    unrest
        .refuses("StopStreamEncryption", async || {
            let (stream_name, encryption_type, key_id) = (stream_name(), kms, key_id());
            let stream_arn = String::new();
            ops.stop_stream_encryption(v1::StopStreamEncryptionRequest {
                stream_name,
                stream_arn,
                encryption_type,
                key_id,
            })
        })
        .await;
    drop(unrest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_updating_is_not_resharded_by_another_call() {
    let fixture = Fixture::with_stream("orders", 1).await;
    let unrest = Unrest::of(&fixture, "orders");
    unrest
        .refuses("UpdateShardCount", async || {
            let request = v1::UpdateShardCountRequest {
                stream_name: "orders".to_owned(),
                // As many as there are, if nobody is quicker: nothing is to be done.
                target_shard_count: fixture
                    .ops
                    .stream(StreamFields::by_name("orders"))?
                    .shards()
                    .open()
                    .len() as u32,
                ..Default::default()
            };
            fixture.ops.update_shard_count(request).await
        })
        .await;
    drop(unrest);
}
