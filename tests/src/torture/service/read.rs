//! All records of a shard, read by pages.

use anabranch_client::{Client, Position, v1};
use anyhow::{Context, Result};

/// Bytes of a page: the most that a server gives.
const PAGE_BYTES: u32 = 10 << 20;

/// Calls `each` with every record of a shard, up to its tip. Damage is an error.
pub(super) async fn each_record(
    client: &Client,
    stream_name: &str,
    shard_id: &str,
    mut each: impl FnMut(v1::Record),
) -> Result<()> {
    let start = client.get_shard_iterator(stream_name, shard_id, Position::TrimHorizon);
    let mut iterator = start.await.with_context(|| format!("cannot read {shard_id}"))?;
    loop {
        let request = v1::GetRecordsRequest {
            shard_iterator: iterator,
            max_bytes: Some(PAGE_BYTES),
            ..v1::GetRecordsRequest::default()
        };
        let page = client.get_records(request).await;
        let page = page.with_context(|| format!("cannot read {shard_id}"))?;
        if page.records.is_empty() && page.millis_behind_latest == 0 {
            return Ok(());
        }
        page.records.into_iter().for_each(&mut each);
        iterator = page.next_shard_iterator;
    }
}
