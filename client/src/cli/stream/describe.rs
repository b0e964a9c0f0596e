//! `stream describe`: what is set on a stream, and what it is made of.

use anabranch_proto::v1;
use clap::Args;
use serde_json::{Map, Value, json};

use super::quotas;
use crate::cli::failure::Failure;
use crate::cli::output::{count, print_list, print_object, time};
use crate::cli::{DONE, Global, OutputFormat, connect};

/// Which stream to describe.
#[derive(Args, Debug)]
pub struct DescribeArguments {
    /// The stream
    pub(super) name: String,
}

pub(super) async fn run(arguments: DescribeArguments, global: &Global) -> Result<i32, Failure> {
    let name = &arguments.name;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let stream = client.describe_stream_summary(name).await.map_err(about)?;
    let tags = client.list_tags_for_stream(name).await.map_err(about)?;
    let consumers = client.list_stream_consumers(name).await.map_err(about)?;
    if global.output == OutputFormat::Table {
        let rows = rows(&stream, &tags, &consumers);
        let rows = rows.into_iter().map(|(field, value)| vec![field.to_owned(), value]);
        print_list(global.output, &["FIELD", "VALUE"], rows.collect(), Vec::new())?;
    } else {
        print_object(global.output, "", &object(&stream, &tags, &consumers))?;
    }
    Ok(DONE)
}

fn rows(
    stream: &v1::StreamDescriptionSummary,
    tags: &[v1::Tag],
    consumers: &[v1::Consumer],
) -> Vec<(&'static str, String)> {
    let names: Vec<&str> =
        consumers.iter().map(|consumer| consumer.consumer_name.as_str()).collect();
    let consumers = match names.as_slice() {
        [] => "0".to_owned(),
        names => format!("{}: {}", count(names.len() as u64), names.join(" ")),
    };
    let whose = if stream.has_own_quotas { "the stream's own" } else { "the server's" };
    let mut rows = vec![
        ("name", stream.stream_name.clone()),
        ("arn", stream.stream_arn.clone()),
        ("status", stream.stream_status().as_str_name().to_owned()),
        ("mode", stream.stream_mode().as_str_name().to_owned()),
        ("retention", format!("{} hours", stream.retention_period_hours)),
        ("created", time(stream.stream_creation_timestamp_ms)),
        ("open shards", count(stream.open_shard_count.into())),
        ("consumers", consumers),
        ("quotas", format!("{} ({whose})", quotas::word(stream.quotas()))),
        ("record size", format!("up to {} KiB", count(stream.max_record_size_in_kib.into()))),
    ];
    if let Some(warm) = stream.warm_throughput.filter(|warm| warm.target_mibps > 0) {
        let words = format!(
            "{} MiB/s (now {} MiB/s)",
            count(warm.target_mibps.into()),
            count(warm.current_mibps.into())
        );
        rows.push(("warm throughput", words));
    }
    if stream.record_distribution_strategy() == v1::RecordDistributionStrategy::Auto {
        rows.push(("distribution", "AUTO: the server chooses the shards".to_owned()));
    }
    let tags = tags.iter().map(|tag| format!("{}={}", tag.key, tag.value));
    rows.extend(tags.enumerate().map(|(index, tag)| (if index == 0 { "tags" } else { "" }, tag)));
    rows
}

fn object(
    stream: &v1::StreamDescriptionSummary,
    tags: &[v1::Tag],
    consumers: &[v1::Consumer],
) -> Value {
    let names = consumers.iter().map(|consumer| consumer.consumer_name.clone());
    let tags: Map<String, Value> =
        tags.iter().map(|tag| (tag.key.clone(), Value::from(tag.value.clone()))).collect();
    let metrics = stream.enhanced_monitoring.iter().flat_map(|metrics| {
        metrics.shard_level_metrics().map(|metric| metric.as_str_name().to_owned())
    });
    json!({
        "stream_name": stream.stream_name,
        "stream_arn": stream.stream_arn,
        "stream_status": stream.stream_status().as_str_name(),
        "stream_mode": stream.stream_mode().as_str_name(),
        "retention_period_hours": stream.retention_period_hours,
        "stream_creation_timestamp_ms": stream.stream_creation_timestamp_ms,
        "open_shard_count": stream.open_shard_count,
        "consumer_count": stream.consumer_count,
        "consumers": names.collect::<Vec<_>>(),
        "quotas": quotas::word(stream.quotas()),
        "has_own_quotas": stream.has_own_quotas,
        "max_record_size_in_kib": stream.max_record_size_in_kib,
        "warm_throughput_mibps": stream.warm_throughput.map(|warm| warm.target_mibps),
        "record_distribution_strategy": stream.record_distribution_strategy().as_str_name(),
        "shard_level_metrics": metrics.collect::<Vec<_>>(),
        "tags": tags,
    })
}
