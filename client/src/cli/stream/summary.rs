//! Many shards in few lines: how many there are, how even they are, and where the load is.

use super::hash_range;
use super::load::{self, StreamLoad};
use super::picture::{self, Style};
use super::shard::Shard;
use crate::cli::output::{count, time};

/// Levels of a bar one line high.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same for every terminal.
const ASCII_LEVELS: [char; 8] = ['.', ':', '-', '=', '+', '*', '%', '#'];

/// Shards in a few lines of at most `style.width` columns.
pub(super) fn summary(shards: &[Shard], load: Option<&StreamLoad>, style: Style) -> String {
    let open: Vec<&Shard> = shards.iter().filter(|shard| shard.is_open()).collect();
    let shares = || open.iter().map(|shard| shard.range.share() * 100.0);
    let (smallest, largest) = (shares().fold(100.0, f64::min), shares().fold(0.0, f64::max));
    let mut text = picture::line(
        "open",
        &format!(
            "{} of {smallest:.3} to {largest:.3} % of the hash keys",
            count(open.len() as u64)
        ),
    );
    let closed = shards.iter().filter_map(|shard| shard.closed_ms);
    if let Some(last_ms) = closed.clone().max() {
        let words = format!("{}, the last at {}", count(closed.count() as u64), time(last_ms));
        text += &picture::line("closed", &words);
    }
    let columns = picture::drawn_columns(style.width);
    text += &picture::line("open shards", &bar(&open, |_| 1.0, columns, style.is_ascii));
    if let Some(load) = load {
        let weight = |shard: &Shard| load.shards.get(&shard.id).map_or(0.0, load::utilisation);
        text += &picture::line("load", &bar(&open, weight, columns, style.is_ascii));
        let (records, kib) = load.shards.values().fold((0.0, 0.0), |(records, kib), shard| {
            (records + shard.incoming_records_per_second, kib + load::in_kib_s(shard))
        });
        text += &picture::line("", &format!("{records:.1} records/s, {kib:.1} KiB/s"));
    }
    text
}

/// The weights of shards over the hash space, the highest column at the top level. A shard's
/// weight stands where the middle of its range is.
fn bar(
    shards: &[&Shard],
    weight: impl Fn(&Shard) -> f64,
    columns: usize,
    is_ascii: bool,
) -> String {
    let mut sums = vec![0.0f64; columns];
    for shard in shards {
        let middle = shard.range.first + (shard.range.last - shard.range.first) / 2;
        let column = (hash_range::place(middle) * columns as f64) as usize;
        sums[column.min(columns - 1)] += weight(shard);
    }
    let most = sums.iter().copied().fold(0.0, f64::max);
    let levels = if is_ascii { ASCII_LEVELS } else { LEVELS };
    let sign = |sum: f64| match sum > 0.0 {
        true => levels[((sum / most * 8.0).ceil() as usize).clamp(1, 8) - 1],
        false => ' ',
    };
    sums.into_iter().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::super::shard::tests::{reshard, shard};
    use super::*;

    #[test]
    fn many_shards_are_a_few_lines_with_the_crowd_and_the_load_in_their_places() {
        let eighth = 1u128 << 125;
        let mut shards: Vec<Shard> = (0..8)
            .map(|index| shard(index, u128::from(index) * eighth, end(index, eighth), 0))
            .collect();
        let parts: Vec<(u128, u128)> = (0..3)
            .map(|part| {
                (
                    part * (eighth / 3),
                    if part == 2 { eighth - 1 } else { (part + 1) * (eighth / 3) - 1 },
                )
            })
            .collect();
        reshard(&mut shards, 5000, &[0], &parts);
        let hot = anabranch_proto::v1::ShardLoad {
            shard_id: "shardId-000000000007".to_owned(),
            incoming_records_per_second: 500.0,
            incoming_bytes_per_second: 2048.0,
            ..Default::default()
        };
        let load =
            StreamLoad { shards: [(hot.shard_id.clone(), hot)].into(), decisions: Vec::new() };
        let drawn = summary(&shards, Some(&load), Style { width: 20 + 24, is_ascii: true });
        let expected = "
               open 10 of 4.167 to 12.500 % of the hash keys
             closed 1, the last at 2023-11-14T22:13:25Z
        open shards ### #  #  #  #  #  #  #
               load                       #
                    500.0 records/s, 2.0 KiB/s
";
        assert_eq!(drawn, expected.trim_start_matches('\n'), "\n{drawn}");
    }

    fn end(index: u32, eighth: u128) -> u128 {
        if index == 7 { u128::MAX } else { u128::from(index + 1) * eighth - 1 }
    }
}
