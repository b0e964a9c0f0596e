//! `stream shards`: the lineage of a stream, drawn for people and listed for programs.

use std::io::IsTerminal;

use clap::Args;
use serde_json::Value;

use super::hash_range;
use super::load::{self, StreamLoad};
use super::picture::{self, Style, Underline};
use super::shard::{self, Shard};
use super::summary;
use crate::cli::failure::Failure;
use crate::cli::output::{count, print, print_list, table, terminal_width, time};
use crate::cli::{DONE, Global, OutputFormat, connect};

/// Shards that are drawn and listed one by one without `--all`.
const DRAWN_MAX: usize = 60;

/// Which shards to show, and how.
#[derive(Args, Debug)]
#[command(
    after_help = "Time runs down and hash keys run from left to right; a shard hangs under its \
parents and reaches `now` while it is open. Over 60 shards are summed up, unless --all is given.

Examples:
  anabranch stream shards orders
  anabranch stream shards orders --all --ascii
  anabranch stream shards orders --output json"
)]
pub struct ShardsArguments {
    /// The stream
    pub(super) name: String,
    /// Draw and list all shards, however many there are
    #[arg(long)]
    pub(super) all: bool,
    /// Draw with plain characters, which is the default where the locale is not UTF-8
    #[arg(long)]
    pub(super) ascii: bool,
}

pub(super) async fn run(arguments: ShardsArguments, global: &Global) -> Result<i32, Failure> {
    let name = &arguments.name;
    let client = connect(global).await?;
    let about = |error| Failure::about_stream(name, error);
    let shards = shard::all(&client, name).await.map_err(about)?;
    let load = load::of(&client, name).await.map_err(about)?;
    if global.output == OutputFormat::Table {
        let style = Style {
            width: terminal_width(),
            is_ascii: arguments.ascii || !is_utf_8(|variable| std::env::var(variable).ok()),
        };
        let is_whole = arguments.all || shards.len() <= DRAWN_MAX;
        let text = text(name, &shards, load.as_ref(), is_whole, style);
        print(&text)?;
        if !is_whole && std::io::stderr().is_terminal() {
            eprintln!("all of them: anabranch stream shards {name} --all");
        }
        return Ok(DONE);
    }
    let objects = shards.iter().map(|shard| object(shard, load.as_ref())).collect();
    print_list(global.output, &[], Vec::new(), objects)?;
    Ok(DONE)
}

fn object(shard: &Shard, load: Option<&StreamLoad>) -> Value {
    let load = load.and_then(|load| load.shards.get(&shard.id));
    let mut object = shard.object();
    object["load"] = load.map_or(Value::Null, load::object);
    object
}

/// The picture and the list, or a summary.
fn text(
    name: &str,
    shards: &[Shard],
    load: Option<&StreamLoad>,
    is_whole: bool,
    style: Style,
) -> String {
    let open = shards.iter().filter(|shard| shard.is_open()).count();
    let mut text = format!(
        "stream {name}: {} open, {} closed; times are UTC\n\n",
        count(open as u64),
        count((shards.len() - open) as u64)
    );
    if !is_whole {
        text += &summary::summary(shards, load, style);
        return text;
    }
    let value = |shard: &Shard, value: fn(&crate::v1::ShardLoad) -> f64| {
        let load = load.and_then(|load| load.shards.get(&shard.id))?;
        Some(format!("{:.1}", value(load)))
    };
    let records = |shard: &Shard| value(shard, |load| load.incoming_records_per_second);
    let kib = |shard: &Shard| value(shard, load::in_kib_s);
    let underlines = [
        Underline { label: "records/s", value: &records },
        Underline { label: "KiB/s", value: &kib },
    ];
    text += &picture::draw(shards, &underlines, style);
    text.push('\n');
    text += &list(shards, load);
    if let Some(load) = load.filter(|load| !load.decisions.is_empty()) {
        text += "\nThe server decided:\n";
        for decision in &load.decisions {
            let at = time(decision.timestamp_ms);
            text += &["  ", &at, "  ", &decision.decision, ": ", &decision.reason, "\n"].concat();
        }
    }
    text
}

/// One line a shard: what the picture has no room for.
fn list(shards: &[Shard], load: Option<&StreamLoad>) -> String {
    let short = |ids: &[String]| match ids {
        [] => "-".to_owned(),
        ids => ids.iter().map(|id| shard::short_id(id)).collect::<Vec<_>>().join(" "),
    };
    let rows = shards.iter().map(|shard| {
        let first = hash_range::place(shard.range.first) * 100.0;
        let last = first + shard.range.share() * 100.0;
        let mut row = vec![
            shard.id.clone(),
            if shard.is_open() { "OPEN" } else { "CLOSED" }.to_owned(),
            format!("{first:.2}-{last:.2} %"),
            short(&shard.parents),
            short(&shard.children),
        ];
        if let Some(load) = load {
            let load = load.shards.get(&shard.id);
            let figure =
                |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
            row.push(figure(load.map(|load| load.incoming_records_per_second)));
            row.push(figure(load.map(load::in_kib_s)));
        }
        row
    });
    let header = ["SHARD", "STATE", "HASH KEYS", "FROM", "INTO", "RECORDS/S", "KIB/S"];
    let columns = if load.is_some() { header.len() } else { header.len() - 2 };
    table(&header[..columns], rows.collect())
}

/// Whether the locale can show more than ASCII: the first of the three that is set decides.
fn is_utf_8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}

#[cfg(test)]
mod tests {
    use super::super::shard::tests::{reshard, shard};
    use super::*;

    fn split() -> Vec<Shard> {
        let half = 1u128 << 127;
        let mut shards = vec![shard(0, 0, u128::MAX, 0)];
        reshard(&mut shards, 2000, &[0], &[(0, half - 1), (half, u128::MAX)]);
        shards
    }

    #[test]
    fn picture_and_list_fit_80_columns_and_have_the_load() {
        let load = crate::v1::ShardLoad {
            shard_id: "shardId-000000000002".to_owned(),
            incoming_records_per_second: 812.25,
            incoming_bytes_per_second: 100.0 * 1024.0,
            ..Default::default()
        };
        let decision = crate::v1::ScalingDecision {
            timestamp_ms: 1_700_000_002_000,
            decision: "split".to_owned(),
            reason: "hot".to_owned(),
        };
        let load = StreamLoad {
            shards: [(load.shard_id.clone(), load)].into(),
            decisions: vec![decision],
        };
        let style = Style { width: 80, is_ascii: true };
        let drawn = text("s", &split(), Some(&load), true, style);
        let expected = "\
stream s: 2 open, 1 closed; times are UTC

                    0 %                     hash keys                      100 %
2023-11-14 22:13:20 +--------------------------- 0 ----------------------------+
           22:13:22 +------------- 1 -------------+------------ 2 -------------+
                now +-----------------------------+----------------------------+
          records/s                                           812.2
              KiB/s                                           100.0

SHARD                 STATE   HASH KEYS       FROM  INTO  RECORDS/S  KIB/S
shardId-000000000000  CLOSED  0.00-100.00 %   -     1 2   -          -
shardId-000000000001  OPEN    0.00-50.00 %    0     -     -          -
shardId-000000000002  OPEN    50.00-100.00 %  0     -     812.2      100.0

The server decided:
  2023-11-14T22:13:22Z  split: hot
";
        assert_eq!(drawn, expected, "\n{drawn}");
        let without = text("s", &split(), None, true, style);
        assert!(!without.contains("RECORDS/S") && !without.contains("records/s"), "{without}");
        let brief = text("s", &split(), None, false, style);
        assert!(!brief.contains("shardId"), "{brief}");
    }

    #[test]
    fn a_program_finds_parents_children_and_load() {
        let shards = split();
        let object = object(&shards[0], None);
        assert_eq!(object["child_shard_ids"][1], "shardId-000000000002");
        assert_eq!(object["load"], Value::Null);
        assert_eq!(object["closing_timestamp_ms"], 1_700_000_002_000_u64);
    }

    #[test]
    fn the_locale_says_whether_boxes_can_be_drawn() {
        let locale = |set: &'static [(&str, &str)]| {
            is_utf_8(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(locale(&[("LANG", "en_GB.UTF-8")]));
        assert!(locale(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!locale(&[]));
    }
}
