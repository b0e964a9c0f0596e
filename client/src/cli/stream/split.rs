//! `stream split`: one shard becomes two.

use clap::Args;
use serde_json::{Value, json};

use super::shard::{self, Shard};
use super::{hash_range, mode};
use crate::cli::failure::Failure;
use crate::cli::output::print_object;
use crate::cli::{DONE, Global, connect};
use crate::error::Error;
use crate::v1;

/// Which shard to split, and where.
#[derive(Args, Debug)]
#[command(after_help = "Its records stay readable, puts go on, and readers follow by themselves.

Examples:
  anabranch stream split orders 0
  anabranch stream split orders shardId-000000000000 --at 85070591730234615865843651857942052864")]
pub struct SplitArguments {
    /// The stream
    pub(super) name: String,
    /// The open shard to split, such as 0 or shardId-000000000000
    pub(super) shard: String,
    /// The hash key at which the second child begins [default: the middle of the shard's range]
    #[arg(long, value_name = "HASHKEY")]
    pub(super) at: Option<u128>,
}

pub(super) async fn run(arguments: SplitArguments, global: &Global) -> Result<i32, Failure> {
    let SplitArguments { name, shard, at } = arguments;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(&name, error);
    let shards = shard::all(&client, &name).await.map_err(about)?;
    let parent = shard::find_open(&shards, &name, &shard)?;
    let at = place_of_split(parent, at)?;
    client
        .split_shard(&name, &parent.id, &at.to_string())
        .await
        .map_err(|error| about_shape(&name, error))?;
    let children = children(&shard::all(&client, &name).await.map_err(about)?, &parent.id);
    let words = format!(
        "{} has been split at {:.2} % of the hash keys into {}",
        parent.id,
        hash_range::place(at) * 100.0,
        names(&children)
    );
    let object = json!({
        "stream_name": name,
        "shard_id": parent.id,
        "new_starting_hash_key": at.to_string(),
        "child_shards": objects(&children),
    });
    print_object(global.output, &words, &object)?;
    Ok(DONE)
}

/// Where to split, if that leaves both children more than one hash key, as the API wants it.
fn place_of_split(parent: &Shard, at: Option<u128>) -> Result<u128, Failure> {
    let range = parent.range;
    let too_small = || Failure::new(format!("{} has too few hash keys to split", parent.id));
    let middle = range.middle().ok_or_else(too_small)?;
    let at = at.unwrap_or(middle);
    if range.may_split_at(at) {
        return Ok(at);
    }
    Err(Failure::new(format!(
        "{} cannot be split at {at}: name a hash key above {} and below {}, or leave --at \
         out for the middle, {middle}",
        parent.id,
        range.first.saturating_add(1),
        range.last,
    )))
}

/// The children of a shard.
pub(super) fn children(shards: &[Shard], parent: &str) -> Vec<Shard> {
    let is_child = |shard: &&Shard| shard.parents.iter().any(|id| id == parent);
    shards.iter().filter(is_child).cloned().collect()
}

pub(super) fn names(shards: &[Shard]) -> String {
    let names: Vec<&str> = shards.iter().map(|shard| shard.id.as_str()).collect();
    names.join(" and ")
}

pub(super) fn objects(shards: &[Shard]) -> Vec<Value> {
    shards.iter().map(Shard::object).collect()
}

/// What a change of shape failed with, and what to do about it.
pub(super) fn about_shape(name: &str, error: Error) -> Failure {
    match error {
        Error::InUse { message } => Failure::new(format!(
            "{message} The stream is changing already: try again in a moment, and look at it with: \
             anabranch stream describe {name}"
        )),
        // The shards are known to be there.
        error @ Error::NotFound { .. } => error.into(),
        error => Failure::about_stream(name, error),
    }
}

/// Refuses what only the server may do.
pub(super) fn check_mode(stream: &v1::StreamDescriptionSummary) -> Result<(), Failure> {
    match stream.stream_mode() {
        v1::StreamMode::OnDemand => Err(mode::is_on_demand(&stream.stream_name)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::stream::shard::tests::shard;

    #[test]
    fn a_split_is_in_the_middle_unless_it_is_said_where() {
        let parent = shard(3, 10, 19, 0);
        assert_eq!(place_of_split(&parent, None).unwrap(), 15);
        assert_eq!(place_of_split(&parent, Some(12)).unwrap(), 12);
        for wrong in [0, 10, 11, 19, 20] {
            let refused = place_of_split(&parent, Some(wrong)).unwrap_err();
            assert!(refused.text.contains("above 11 and below 19"), "{refused:?}");
        }
        assert!(place_of_split(&shard(4, 0, 1, 0), None).is_err());
    }
}
