//! `stream list`: all streams by name.

use anabranch_proto::v1;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::output::{print_list, time};
use crate::cli::{DONE, Global, OutputFormat, connect};

pub(super) async fn run(global: &Global) -> Result<i32, Failure> {
    let streams = connect(global).await?.list_streams().await?;
    if streams.is_empty() && global.output == OutputFormat::Table {
        eprintln!("there are no streams; make one with: anabranch stream create NAME");
        return Ok(DONE);
    }
    let status = |stream: &v1::StreamSummary| stream.stream_status().as_str_name().to_owned();
    let mode = |stream: &v1::StreamSummary| stream.stream_mode().as_str_name().to_owned();
    let rows = streams.iter().map(|stream| {
        let created = time(stream.stream_creation_timestamp_ms);
        vec![stream.stream_name.clone(), status(stream), mode(stream), created]
    });
    let objects = streams.iter().map(|stream| {
        json!({
            "stream_name": stream.stream_name,
            "stream_arn": stream.stream_arn,
            "stream_status": status(stream),
            "stream_mode": mode(stream),
            "stream_creation_timestamp_ms": stream.stream_creation_timestamp_ms,
        })
    });
    let header = ["NAME", "STATUS", "MODE", "CREATED"];
    print_list(global.output, &header, rows.collect(), objects.collect())?;
    Ok(DONE)
}
