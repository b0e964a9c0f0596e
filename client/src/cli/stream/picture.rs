//! The lineage of a stream as a drawing: time runs down, hash keys run from left to right.
//!
//! ```text
//!                     0 %                     hash keys                 100 %
//! 2026-11-24 10:00:01 ┌────────── 0 ───────────┬────────── 1 ───────────┐
//!            10:05:22 ├──── 2 ────┬──── 3 ─────┤                        │
//!            10:07:40 │           ├────────────┴─── 4 ──────────────────┤
//!                 now └───────────┴─────────────────────────────────────┘
//! ```
//!
//! A shard hangs from the line at which it was made, under its parents, and ends at the line of
//! its children; what reaches the last line is open. A change of shape is one line, so a stream
//! that was changed often is long and not wide. What is too narrow for its name goes without: the
//! list beside the picture has them all.
//!
//! [`draw`] is a function of shards and a width to text.

use std::collections::BTreeSet;

use super::hash_range::HashRange;
use super::shard::Shard;

/// Columns left of the picture: a date, a time and a space.
const GUTTER: usize = 20;
/// Columns of the drawing itself where the terminal is narrower than anything: it wraps then.
const DRAWN_MIN: usize = 20;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Columns that there are.
    pub(super) width: usize,
    /// Only characters that every terminal has.
    pub(super) is_ascii: bool,
}

/// A value to write under the open shards, by id: records a second, say.
pub(super) struct Underline<'a> {
    pub(super) label: &'a str,
    pub(super) value: &'a dyn Fn(&Shard) -> Option<String>,
}

/// Draws the shards; `underlines` stand below the open ones, where there is room.
pub(super) fn draw(shards: &[Shard], underlines: &[Underline<'_>], style: Style) -> String {
    let drawing = Drawing { columns: drawn_columns(style.width) };
    let times: BTreeSet<u64> = shards
        .iter()
        .flat_map(|shard| [Some(shard.created_ms), shard.closed_ms])
        .flatten()
        .collect();
    let mut text = drawing.scale();
    let mut above: Vec<Cell<'_>> = Vec::new();
    let mut last_date = String::new();
    for time_ms in times {
        let below = drawing.cells(shards, time_ms);
        let label = time_label(time_ms, &mut last_date);
        text += &line(&label, &drawing.border(&above, &below, time_ms, style.is_ascii));
        above = below;
    }
    text += &line("now", &drawing.border(&above, &[], 0, style.is_ascii));
    for underline in underlines {
        let values = drawing.under(&above, underline.value);
        if !values.trim().is_empty() {
            text += &line(underline.label, &values);
        }
    }
    text
}

/// Columns of the picture beside its gutter.
pub(super) fn drawn_columns(width: usize) -> usize {
    width.saturating_sub(GUTTER).max(DRAWN_MIN)
}

/// A line of the picture behind what stands in its gutter.
pub(super) fn line(label: &str, drawn: &str) -> String {
    let whole = format!("{label:>width$} {drawn}", width = GUTTER - 1);
    format!("{}\n", whole.trim_end())
}

/// The time of a line; its date only where it differs from that of the line above. Changes within
/// a second have milliseconds nowhere: their order is that of the lines.
fn time_label(time_ms: u64, last_date: &mut String) -> String {
    let time = i64::try_from(time_ms)
        .ok()
        .and_then(|time_ms| jiff::Timestamp::from_millisecond(time_ms).ok())
        .unwrap_or_default();
    let whole = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let (date, clock) = whole.split_at(10);
    if date == last_date {
        return clock.trim().to_owned();
    }
    date.clone_into(last_date);
    whole
}

/// A shard in a picture: the columns of its two borders.
#[derive(Clone, Copy, Debug)]
struct Cell<'a> {
    shard: &'a Shard,
    left: usize,
    right: usize,
}

impl Cell<'_> {
    /// The columns between the borders.
    fn inside(&self) -> std::ops::Range<usize> {
        self.left + 1..self.right.max(self.left + 1)
    }
}

struct Drawing {
    columns: usize,
}

impl Drawing {
    /// The line above: where the hash keys begin and end.
    fn scale(&self) -> String {
        let (left, middle, right) = ("0 %", "hash keys", "100 %");
        let room = self.columns.saturating_sub(left.len() + right.len());
        line("", &format!("{left}{middle:^room$}{right}"))
    }

    /// The column of a place in the hash space; `key` is the first beyond it, 0 standing for 2^128.
    fn column(&self, key: u128, is_end: bool) -> usize {
        let last = self.columns - 1;
        if is_end && key == 0 {
            return last;
        }
        // 2^64 steps are more than there are columns, and leave room to multiply.
        let steps = key >> 64;
        ((steps * last as u128 + (1 << 63)) >> 64) as usize
    }

    /// The shards that take records from a time on, from left to right.
    fn cells<'a>(&self, shards: &'a [Shard], time_ms: u64) -> Vec<Cell<'a>> {
        let lives = |shard: &&Shard| {
            let is_closed = shard.closed_ms.is_some_and(|closed_ms| closed_ms <= time_ms);
            shard.created_ms <= time_ms && !is_closed
        };
        let cell = |shard: &'a Shard| {
            let HashRange { first, last } = shard.range;
            let right = self.column(last.wrapping_add(1), true);
            Cell { shard, left: self.column(first, false), right }
        };
        let mut cells: Vec<Cell<'a>> = shards.iter().filter(lives).map(cell).collect();
        cells.sort_by_key(|cell| cell.shard.range.first);
        cells
    }

    /// The line between what was and what is: a border over each shard made at this time, and the
    /// sides of those that go on.
    fn border(
        &self,
        above: &[Cell<'_>],
        below: &[Cell<'_>],
        time_ms: u64,
        is_ascii: bool,
    ) -> String {
        let mut joints = vec![Joint::default(); self.columns];
        for cell in above {
            joints[cell.left].0 |= Joint::UP;
            joints[cell.right].0 |= Joint::UP;
        }
        for cell in below {
            joints[cell.left].0 |= Joint::DOWN;
            joints[cell.right].0 |= Joint::DOWN;
        }
        // Where the picture ends, all that is open does.
        let is_last = below.is_empty();
        let made: Vec<&Cell<'_>> = match is_last {
            true => above.iter().collect(),
            false => below.iter().filter(|cell| cell.shard.created_ms == time_ms).collect(),
        };
        for cell in &made {
            for column in cell.left..cell.right {
                joints[column].0 |= Joint::RIGHT;
                joints[column + 1].0 |= Joint::LEFT;
            }
        }
        let mut drawn: Vec<char> = joints.iter().map(|joint| joint.sign(is_ascii)).collect();
        if !is_last {
            for cell in made {
                write_centred(&mut drawn, cell.inside(), cell.shard.short_id());
            }
        }
        drawn.into_iter().collect()
    }

    /// Values below the open shards.
    fn under(&self, cells: &[Cell<'_>], value: &dyn Fn(&Shard) -> Option<String>) -> String {
        let mut drawn = vec![' '; self.columns];
        for cell in cells {
            if let Some(value) = value(cell.shard) {
                write_centred(&mut drawn, cell.inside(), &value);
            }
        }
        drawn.into_iter().collect()
    }
}

/// Writes a word into the middle of some columns, with a space on both sides where there is room
/// for them; not at all where there is none for the word.
fn write_centred(drawn: &mut [char], columns: std::ops::Range<usize>, word: &str) {
    let room = columns.len();
    let padded = format!(" {word} ");
    let word = if padded.len() <= room { padded.as_str() } else { word };
    if word.len() > room {
        return;
    }
    let start = columns.start + (room - word.len()) / 2;
    for (place, sign) in drawn[start..].iter_mut().zip(word.chars()) {
        *place = sign;
    }
}

/// Which of its four neighbours a character is joined to, a bit for each.
#[derive(Clone, Copy, Default, Debug)]
struct Joint(usize);

impl Joint {
    const UP: usize = 1;
    const DOWN: usize = 2;
    const LEFT: usize = 4;
    const RIGHT: usize = 8;

    /// By the four bits.
    const SIGNS: [char; 16] =
        [' ', '│', '│', '│', '─', '┘', '┐', '┤', '─', '└', '┌', '├', '─', '┴', '┬', '┼'];
    /// The same for every terminal.
    const ASCII_SIGNS: [char; 16] =
        [' ', '|', '|', '|', '-', '+', '+', '+', '-', '+', '+', '+', '-', '+', '+', '+'];

    fn sign(self, is_ascii: bool) -> char {
        if is_ascii { Joint::ASCII_SIGNS[self.0] } else { Joint::SIGNS[self.0] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shard::tests::{reshard, shard};
    use super::*;

    const QUARTER: u128 = 1 << 126;

    /// Two shards; 0 is split, then 3 and 1 are merged.
    fn story() -> Vec<Shard> {
        let half = 2 * QUARTER;
        let mut shards = vec![shard(0, 0, half - 1, 0), shard(1, half, u128::MAX, 0)];
        reshard(&mut shards, 60_000, &[0], &[(0, QUARTER - 1), (QUARTER, half - 1)]);
        reshard(&mut shards, 90_000, &[3, 1], &[(QUARTER, u128::MAX)]);
        shards
    }

    #[test]
    fn a_split_and_a_merge_are_seen_in_the_picture() {
        let load = |shard: &Shard| (shard.short_id() == "4").then(|| "81.5".to_owned());
        let underlines = [Underline { label: "records/s", value: &load }];
        let drawn = draw(&story(), &underlines, Style { width: 61, is_ascii: false });
        let expected = "
                    0 %            hash keys            100 %
2023-11-14 22:13:20 ┌──────── 0 ────────┬──────── 1 ────────┐
           22:14:20 ├─── 2 ───┬─── 3 ───┤                   │
           22:14:50 │         ├─────────┴─── 4 ─────────────┤
                now └─────────┴─────────────────────────────┘
          records/s                        81.5
";
        assert_eq!(drawn, expected.trim_start_matches('\n'), "\n{drawn}");
    }

    #[test]
    fn plain_characters_say_the_same() {
        let drawn = draw(&story(), &[], Style { width: 61, is_ascii: true });
        let expected = "
                    0 %            hash keys            100 %
2023-11-14 22:13:20 +-------- 0 --------+-------- 1 --------+
           22:14:20 +--- 2 ---+--- 3 ---+                   |
           22:14:50 |         +---------+--- 4 -------------+
                now +---------+-----------------------------+
";
        assert_eq!(drawn, expected.trim_start_matches('\n'), "\n{drawn}");
    }

    #[test]
    fn what_has_expired_leaves_a_gap() {
        let mut shards = story();
        shards.remove(0);
        shards[0].created_ms += 1;
        let drawn = draw(&shards, &[], Style { width: 61, is_ascii: true });
        let expected = "
                    0 %            hash keys            100 %
2023-11-14 22:13:20                     +-------- 1 --------+
           22:14:20 +--- 2 ---+--- 3 ---+                   |
           22:14:50 |         +---------+--- 4 -------------+
                now +---------+-----------------------------+
";
        assert_eq!(drawn, expected.trim_start_matches('\n'), "\n{drawn}");
    }

    #[test]
    fn a_shard_of_no_life_is_not_drawn() {
        let mut shards = vec![shard(0, 0, u128::MAX, 0)];
        reshard(&mut shards, 1000, &[0], &[(0, QUARTER - 1), (QUARTER, u128::MAX)]);
        reshard(&mut shards, 1000, &[2], &[(QUARTER, 2 * QUARTER - 1), (2 * QUARTER, u128::MAX)]);
        let drawn = draw(&shards, &[], Style { width: 61, is_ascii: true });
        let second = drawn.lines().nth(2).unwrap();
        assert_eq!(second, "           22:13:21 +--- 1 ---+--- 3 ---+-------- 4 --------+");
    }

    #[test]
    fn every_line_fits_whatever_the_width_and_the_number_of_shards() {
        for count in [1u32, 7, 60, 1000] {
            let width_of_one = u128::MAX / u128::from(count);
            let shards: Vec<Shard> = (0..count)
                .map(|index| {
                    let first = u128::from(index) * width_of_one;
                    let last =
                        if index + 1 == count { u128::MAX } else { first + width_of_one - 1 };
                    shard(index, first, last, 0)
                })
                .collect();
            for width in [0, 40, 80, 133, 400] {
                for is_ascii in [false, true] {
                    let drawn = draw(&shards, &[], Style { width, is_ascii });
                    assert_eq!(drawn.lines().count(), 3);
                    let columns = drawn_columns(width) + GUTTER;
                    assert!(drawn.lines().all(|line| line.chars().count() <= columns), "{drawn}");
                    assert_eq!(drawn.is_ascii(), is_ascii, "{drawn}");
                }
            }
        }
    }
}
