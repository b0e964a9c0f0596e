//! `stream advise`: which shard or key is hot, and what to do about it.
//!
//! The measure is what a shard of the real service takes. What is said is a decision about one
//! minute's figures alone.

use anabranch_proto::v1;
use clap::Args;
use serde_json::{Value, json};

use super::load::{self, StreamLoad};
use super::shard::short_id;
use super::size::{Demand, Sizing, size};
use crate::cli::failure::Failure;
use crate::cli::output::{count, print, print_object, table};
use crate::cli::{DONE, Global, OutputFormat, connect};

/// The part of what a shard takes from which on it is hot: the next peak goes over it.
const HOT: f64 = 0.8;
/// The part of a shard's load from which on one hash key is worth naming.
const HOT_KEY: f64 = 0.25;
/// Shards that are listed; the hottest first.
const LISTED_MAX: usize = 20;

/// Which stream to look at.
#[derive(Args, Debug)]
pub struct AdviseArguments {
    /// The stream
    name: String,
}

pub(super) async fn run(arguments: AdviseArguments, global: &Global) -> Result<i32, Failure> {
    let name = &arguments.name;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let stream = client.describe_stream_summary(name).await.map_err(about)?;
    let Some(load) = load::of(&client, name).await.map_err(about)? else {
        return Err(Failure::new(format!(
            "the server at {} does not measure the load of shards; use a newer one",
            client.server()
        )));
    };
    let shards = hottest_first(&load);
    let advice = advise(&stream, &shards);
    if global.output == OutputFormat::Table {
        print(&text(&shards, &advice))?;
        return Ok(DONE);
    }
    let object = json!({
        "stream_name": name,
        "open_shard_count": stream.open_shard_count,
        "needed_shard_count": advice.needed.shards,
        "advice": advice.sentences.iter().map(Sentence::object).collect::<Vec<_>>(),
        "shards": shards.iter().map(|shard| shard_object(shard)).collect::<Vec<_>>(),
        "decisions": load.decisions.iter().map(load::decision_object).collect::<Vec<_>>(),
    });
    print_object(global.output, "", &object)?;
    Ok(DONE)
}

fn hottest_first(load: &StreamLoad) -> Vec<&v1::ShardLoad> {
    let mut shards: Vec<&v1::ShardLoad> = load.shards.values().collect();
    shards.sort_by(|left, right| {
        let hotter = load::utilisation(right).total_cmp(&load::utilisation(left));
        hotter.then_with(|| left.shard_id.cmp(&right.shard_id))
    });
    shards
}

fn shard_object(load: &v1::ShardLoad) -> Value {
    let mut object = load::object(load);
    object["shard_id"] = json!(load.shard_id);
    object["utilisation"] = json!(load::utilisation(load));
    object["is_hot"] = json!(is_hot(load));
    object
}

/// What to know and to do.
#[derive(Clone, PartialEq, Debug)]
struct Advice {
    /// What the load of the last minute needs.
    needed: Sizing,
    sentences: Vec<Sentence>,
}

/// One thing to know, and the command that does something about it, where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sentence {
    shard_id: Option<String>,
    text: String,
    command: Option<String>,
}

impl Sentence {
    fn object(&self) -> Value {
        json!({ "shard_id": self.shard_id, "text": self.text, "command": self.command })
    }
}

fn is_hot(load: &v1::ShardLoad) -> bool {
    load::utilisation(load) >= HOT || load.throttled_records > 0
}

fn advise(stream: &v1::StreamDescriptionSummary, shards: &[&v1::ShardLoad]) -> Advice {
    let sum = |part: fn(&v1::ShardLoad) -> f64| -> u64 {
        shards.iter().map(|load| part(load)).sum::<f64>().ceil() as u64
    };
    let needed = size(Demand {
        in_kib_s: sum(load::in_kib_s),
        records_s: sum(|load| load.incoming_records_per_second),
        // How much of it is pulled is not told, and what is pushed needs no shards.
        out_kib_s: 0,
    });
    let is_on_demand = stream.stream_mode() == v1::StreamMode::OnDemand;
    let hot: Vec<&&v1::ShardLoad> = shards.iter().filter(|load| is_hot(load)).collect();
    let mut sentences: Vec<Sentence> = hot
        .iter()
        .take(LISTED_MAX)
        .map(|load| about(&stream.stream_name, load, is_on_demand))
        .collect();
    if let Some(more) = hot.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        let text = format!("{} more shards are hot", count(more as u64));
        sentences.push(Sentence { shard_id: None, text, command: None });
    }
    if hot.is_empty() {
        sentences.push(quiet(stream, needed, is_on_demand));
    }
    Advice { needed, sentences }
}

/// What a hot shard needs.
fn about(stream_name: &str, load: &v1::ShardLoad, is_on_demand: bool) -> Sentence {
    let percent = load::utilisation(load) * 100.0;
    let mut parts = vec![format!("{} is at {percent:.0} % of what a shard takes", load.shard_id)];
    if load.throttled_records > 0 {
        let throttled = count(load.throttled_records);
        parts.push(format!("{throttled} records were refused in the last minute"));
    }
    let share = load.hottest_hash_key_share.unwrap_or_default();
    if let Some(key) = load.hottest_hash_key.as_ref().filter(|_| share >= HOT_KEY) {
        parts.push(format!("the hash key {key} is {:.0} % of it", share * 100.0));
    }
    let mut command = None;
    let advice = match &load.halving_hash_key {
        _ if is_on_demand => "the server splits it by itself",
        Some(at) => {
            let shard = short_id(&load.shard_id);
            command = Some(format!("anabranch stream split {stream_name} {shard} --at {at}"));
            "a split halves its load"
        }
        None if share >= HOT_KEY => "a split does not help: spread that key over several",
        None => "where its load halves is not known yet",
    };
    parts.push(advice.to_owned());
    let text = parts.join("; ");
    Sentence { shard_id: Some(load.shard_id.clone()), text, command }
}

/// What to say where no shard is hot.
fn quiet(stream: &v1::StreamDescriptionSummary, needed: Sizing, is_on_demand: bool) -> Sentence {
    let open = u64::from(stream.open_shard_count);
    let (name, shards) = (&stream.stream_name, needed.shards);
    // Twice what is needed leaves room for the next peak.
    let target = shards.saturating_mul(2).max(open.div_ceil(2));
    if is_on_demand || target >= open {
        let text = format!("no shard is hot: its {} open shards are enough", count(open));
        return Sentence { shard_id: None, text, command: None };
    }
    let text = format!(
        "no shard is hot: the last minute needed {} of {} open shards, and {} leave room",
        count(shards),
        count(open),
        count(target)
    );
    let command = Some(format!("anabranch stream scale {name} {target}"));
    Sentence { shard_id: None, text, command }
}

fn text(shards: &[&v1::ShardLoad], advice: &Advice) -> String {
    let rows = shards.iter().take(LISTED_MAX).map(|load| {
        let share = load.hottest_hash_key_share;
        vec![
            load.shard_id.clone(),
            format!("{:.0} %", load::utilisation(load) * 100.0),
            format!("{:.1}", load.incoming_records_per_second),
            format!("{:.1}", load::in_kib_s(load)),
            format!("{:.1}", load.outgoing_bytes_per_second / 1024.0),
            count(load.throttled_records),
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
        ]
    });
    let header = ["SHARD", "LOAD", "RECORDS/S", "KIB/S", "KIB/S OUT", "REFUSED", "HOTTEST KEY"];
    let mut lines = vec![table(&header, rows.collect())];
    if shards.len() > LISTED_MAX {
        lines.push(format!("and {} more\n", count((shards.len() - LISTED_MAX) as u64)));
    }
    for sentence in &advice.sentences {
        lines.push(sentence.text.clone());
        lines.extend(sentence.command.iter().map(|command| format!("  {command}")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(index: u32, records: f64, kib: f64) -> v1::ShardLoad {
        v1::ShardLoad {
            shard_id: format!("shardId-{index:012}"),
            incoming_records_per_second: records,
            incoming_bytes_per_second: kib * 1024.0,
            ..v1::ShardLoad::default()
        }
    }

    fn stream(open: u32, mode: v1::StreamMode) -> v1::StreamDescriptionSummary {
        v1::StreamDescriptionSummary {
            stream_name: "s".to_owned(),
            open_shard_count: open,
            stream_mode: mode.into(),
            ..v1::StreamDescriptionSummary::default()
        }
    }

    fn advice_for(mode: v1::StreamMode, loads: Vec<v1::ShardLoad>) -> Advice {
        let open = loads.len() as u32;
        let shards = loads.into_iter().map(|load| (load.shard_id.clone(), load)).collect();
        let load = StreamLoad { shards, decisions: Vec::new() };
        advise(&stream(open, mode), &hottest_first(&load))
    }

    #[test]
    fn a_hot_shard_is_split_where_its_load_halves() {
        let mut hot = load(1, 950.0, 10.0);
        hot.halving_hash_key = Some("42".to_owned());
        hot.throttled_records = 1234;
        let advice = advice_for(v1::StreamMode::Provisioned, vec![load(0, 1.0, 1.0), hot.clone()]);
        let [sentence] = &advice.sentences[..] else { panic!("{advice:?}") };
        assert_eq!(
            sentence.text,
            "shardId-000000000001 is at 95 % of what a shard takes; 1,234 records were refused in \
             the last minute; a split halves its load"
        );
        assert_eq!(sentence.command.as_deref(), Some("anabranch stream split s 1 --at 42"));
        let advice = advice_for(v1::StreamMode::OnDemand, vec![hot]);
        assert!(advice.sentences[0].text.ends_with("the server splits it by itself"));
        assert_eq!(advice.sentences[0].command, None);
    }

    #[test]
    fn a_hot_key_is_not_split() {
        let mut hot = load(0, 10.0, 1100.0);
        hot.hottest_hash_key = Some("7".to_owned());
        hot.hottest_hash_key_share = Some(0.97);
        let advice = advice_for(v1::StreamMode::Provisioned, vec![hot]);
        assert_eq!(
            advice.sentences[0].text,
            "shardId-000000000000 is at 107 % of what a shard takes; the hash key 7 is 97 % of \
             it; a split does not help: spread that key over several"
        );
    }

    #[test]
    fn a_quiet_stream_is_told_how_few_shards_would_do_in_one_legal_step() {
        let quiet = |count| (0..count).map(|index| load(index, 10.0, 1.0)).collect();
        let advice = advice_for(v1::StreamMode::Provisioned, quiet(16));
        assert_eq!(advice.sentences[0].command.as_deref(), Some("anabranch stream scale s 8"));
        let advice = advice_for(v1::StreamMode::Provisioned, quiet(2));
        assert_eq!(advice.sentences[0].command, None);
        let advice = advice_for(v1::StreamMode::OnDemand, quiet(16));
        assert_eq!(advice.sentences[0].command, None);
    }
}
