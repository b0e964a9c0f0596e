//! `stream merge`: two neighbours become one.

use clap::Args;
use serde_json::json;

use super::shard::{self, Shard};
use super::split;
use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, Global, connect};

/// Which shards to merge.
#[derive(Args, Debug)]
#[command(after_help = "Their records stay readable, puts go on, and readers follow by themselves.

Example:
  anabranch stream merge orders 1 2")]
pub struct MergeArguments {
    /// The stream
    pub(super) name: String,
    /// An open shard, such as 1 or shardId-000000000001
    pub(super) shard: String,
    /// An open shard whose hash keys are next to those of the first
    pub(super) adjacent: String,
}

pub(super) async fn run(arguments: MergeArguments, global: &Global) -> Result<i32, Failure> {
    let MergeArguments { name, shard, adjacent } = arguments;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(&name, error);
    let shards = shard::all(&client, &name).await.map_err(about)?;
    let (left, right) = neighbours(&shards, &name, &shard, &adjacent)?;
    client
        .merge_shards(&name, &left.id, &right.id)
        .await
        .map_err(|error| split::about_shape(&name, error))?;
    let children = split::children(&shard::all(&client, &name).await.map_err(about)?, &left.id);
    let words =
        format!("{} and {} have been merged into {}", left.id, right.id, split::names(&children));
    let object = json!({
        "stream_name": name,
        "shard_id": left.id,
        "adjacent_shard_id": right.id,
        "child_shards": split::objects(&children),
    });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

/// The two shards, if they are open and touch.
fn neighbours<'a>(
    shards: &'a [Shard],
    stream_name: &str,
    shard: &str,
    adjacent: &str,
) -> Result<(&'a Shard, &'a Shard), Failure> {
    let left = shard::find_open(shards, stream_name, shard)?;
    let right = shard::find_open(shards, stream_name, adjacent)?;
    if left.range.touches(right.range) {
        return Ok((left, right));
    }
    let neighbours: Vec<&str> = shards
        .iter()
        .filter(|other| other.is_open() && other.range.touches(left.range))
        .map(|other| other.id.as_str())
        .collect();
    let advice = match neighbours.as_slice() {
        [] => format!("{} is the only open shard", left.id),
        names => format!("next to {} is {}", left.id, names.join(" and ")),
    };
    Err(Failure::new(format!(
        "{} and {} are not neighbours, so they cannot be merged; {advice}",
        left.id, right.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::stream::shard::tests::shard;

    #[test]
    fn only_neighbours_are_merged_and_others_are_told_theirs() {
        let shards = [shard(0, 0, 9, 0), shard(1, 10, 19, 0), shard(2, 20, u128::MAX, 0)];
        assert!(neighbours(&shards, "s", "1", "0").is_ok());
        let refused = neighbours(&shards, "s", "0", "2").unwrap_err();
        assert!(refused.text.ends_with("next to shardId-000000000000 is shardId-000000000001"));
        assert!(neighbours(&shards[..1], "s", "0", "0").unwrap_err().text.contains("only open"));
    }
}
