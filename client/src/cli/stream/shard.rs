//! A shard as the commands see it: its place among the others, from one list of all.

use anabranch_proto::v1;
use serde_json::{Value, json};

use super::hash_range::HashRange;
use crate::cli::failure::Failure;
use crate::client::Client;
use crate::error::Result;

/// A shard and its place in the lineage.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Shard {
    /// As the API writes it.
    pub(super) id: String,
    pub(super) range: HashRange,
    pub(super) parents: Vec<String>,
    pub(super) children: Vec<String>,
    /// Milliseconds since 1970.
    pub(super) created_ms: u64,
    /// Milliseconds since 1970; none while it takes records.
    pub(super) closed_ms: Option<u64>,
    /// The numbers of its records, as the API gives them.
    numbers: v1::SequenceNumberRange,
}

impl Shard {
    pub(super) fn is_open(&self) -> bool {
        self.closed_ms.is_none()
    }

    /// Its name without what is the same in all: 12 for `shardId-000000000012`.
    pub(super) fn short_id(&self) -> &str {
        short_id(&self.id)
    }

    /// The shard for programs. The names are the API's.
    pub(super) fn object(&self) -> Value {
        json!({
            "shard_id": self.id,
            "parent_shard_id": self.parents.first(),
            "adjacent_parent_shard_id": self.parents.get(1),
            "child_shard_ids": self.children,
            "is_open": self.is_open(),
            "creation_timestamp_ms": self.created_ms,
            "closing_timestamp_ms": self.closed_ms,
            "hash_key_range": {
                "starting_hash_key": self.range.first.to_string(),
                "ending_hash_key": self.range.last.to_string(),
            },
            "sequence_number_range": {
                "starting_sequence_number": self.numbers.starting_sequence_number,
                "ending_sequence_number": self.numbers.ending_sequence_number,
            },
        })
    }
}

/// 12 for `shardId-000000000012`.
pub(super) fn short_id(id: &str) -> &str {
    let digits = id.strip_prefix("shardId-").unwrap_or(id);
    match digits.trim_start_matches('0') {
        "" if !digits.is_empty() => "0",
        short => short,
    }
}

/// All shards of a stream that may hold records, by index.
pub(super) async fn all(client: &Client, stream_name: &str) -> Result<Vec<Shard>> {
    Ok(of_list(&client.list_shards(stream_name).await?))
}

/// The shards of a list.
pub(super) fn of_list(listed: &[v1::Shard]) -> Vec<Shard> {
    let shard = |shard: &v1::Shard| {
        let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
        Shard {
            id: shard.shard_id.clone(),
            range: HashRange::of(shard.hash_key_range.as_ref()),
            parents: parents.into_iter().flatten().cloned().collect(),
            children: Vec::new(),
            created_ms: shard.creation_timestamp_ms.unwrap_or_default(),
            closed_ms: shard.closing_timestamp_ms,
            numbers: shard.sequence_number_range.unwrap_or_default(),
        }
    };
    let mut shards: Vec<Shard> = listed.iter().map(shard).collect();
    let places: std::collections::HashMap<String, usize> =
        shards.iter().enumerate().map(|(place, shard)| (shard.id.clone(), place)).collect();
    for child in 0..shards.len() {
        let id = shards[child].id.clone();
        for parent in shards[child].parents.clone() {
            if let Some(place) = places.get(&parent) {
                shards[*place].children.push(id.clone());
            }
        }
    }
    shards
}

/// The shard of this id, which may be given in a shorter form such as `3`.
pub(super) fn find<'a>(
    shards: &'a [Shard],
    stream_name: &str,
    id: &str,
) -> Result<&'a Shard, Failure> {
    let found = shards.iter().find(|shard| shard.short_id() == short_id(id));
    found.ok_or_else(|| {
        Failure::new(format!(
            "stream {stream_name} has no shard {id}; see those it has with: anabranch stream \
             shards {stream_name}"
        ))
    })
}

/// The open shard of this id.
pub(super) fn find_open<'a>(
    shards: &'a [Shard],
    stream_name: &str,
    id: &str,
) -> Result<&'a Shard, Failure> {
    let shard = find(shards, stream_name, id)?;
    if shard.is_open() {
        return Ok(shard);
    }
    Err(Failure::new(format!(
        "{} is closed: it went on in {}; name an open one",
        shard.id,
        shard.children.join(" and ")
    )))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An open shard of some keys, made so many milliseconds after 2023-11-14T22:13:20Z.
    pub(in super::super) fn shard(index: u32, first: u128, last: u128, at: u64) -> Shard {
        Shard {
            id: format!("shardId-{index:012}"),
            range: HashRange { first, last },
            parents: Vec::new(),
            children: Vec::new(),
            created_ms: 1_700_000_000_000 + at,
            closed_ms: None,
            numbers: v1::SequenceNumberRange::default(),
        }
    }

    /// Closes shards of a list and adds their children, with these ranges.
    pub(in super::super) fn reshard(
        shards: &mut Vec<Shard>,
        at: u64,
        parents: &[usize],
        children: &[(u128, u128)],
    ) {
        let next = shards.len();
        let id = |index: usize| format!("shardId-{index:012}");
        for parent in parents {
            shards[*parent].closed_ms = Some(1_700_000_000_000 + at);
            shards[*parent].children = (next..next + children.len()).map(id).collect();
        }
        for (place, (first, last)) in children.iter().enumerate() {
            let mut child = shard((next + place) as u32, *first, *last, at);
            child.parents = parents.iter().copied().map(id).collect();
            shards.push(child);
        }
    }

    #[test]
    fn a_shard_is_found_by_any_form_of_its_name_and_a_closed_one_names_its_children() {
        let mut shards = vec![shard(0, 0, u128::MAX, 0)];
        reshard(&mut shards, 10, &[0], &[(0, 9), (10, u128::MAX)]);
        for id in ["1", "shardId-1", "000000000001", "shardId-000000000001"] {
            assert_eq!(find_open(&shards, "s", id).unwrap().short_id(), "1");
        }
        assert_eq!(find(&shards, "s", "0").unwrap().short_id(), "0");
        let closed = find_open(&shards, "s", "0").unwrap_err();
        assert!(
            closed.text.contains("shardId-000000000001 and shardId-000000000002"),
            "{closed:?}"
        );
        let unknown = find(&shards, "s", "7").unwrap_err();
        assert!(unknown.text.ends_with("anabranch stream shards s"), "{unknown:?}");
    }
}
