//! The figures for people, for programs, and as a picture.

use std::error::Error;
use std::path::Path;

use anabranch_client::cli::table;
use plotters::prelude::*;

use super::figure::{Better, Row};

/// A table: the figures with a bar, and below them the numbers that they were made of. Beside each
/// load stands what the server spends on it: seconds of CPU time for a million records, its
/// resident memory, and bytes written to the disk for each record.
pub(super) fn words(rows: &[Row]) -> String {
    let (asked, beside): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.bar.is_some());
    let line = |row: &&Row| {
        let sign = if row.better == Better::Higher { ">=" } else { "<=" };
        let asked =
            |number: Option<f64>| number.map_or(String::new(), |n| format!("{sign} {}", short(n)));
        let verdict = match row.holds {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        vec![
            row.figure.clone(),
            short(row.value),
            format!("{} to {}", short(row.min), short(row.max)),
            row.unit.to_owned(),
            asked(row.bar),
            asked(row.goal),
            verdict.to_owned(),
            row.beside.server_cpu_s_per_million.map_or(String::new(), short),
            row.beside.resident_mib.map_or(String::new(), short),
            row.beside.disk_bytes_per_record.map_or(String::new(), short),
        ]
    };
    let lines = asked.iter().chain(&beside).map(line).collect();
    let head = ["FIGURE", "MEDIAN", "SPREAD", "UNIT", "BAR", "GOAL", "", "CPU s/M", "MiB", "B/REC"];
    table(&head, lines)
}

/// Three digits, or as many as stand before the point.
fn short(number: f64) -> String {
    match number.abs() {
        1000.0.. => anabranch_client::cli::count(number.round() as u64),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Height of a row of the picture in pixels.
const ROW_PIXELS: u32 = 28;

/// Draws how far each figure is from its bar: 1 is the bar, beyond it is better.
pub(super) fn draw(rows: &[Row], file: &Path) -> Result<(), Box<dyn Error>> {
    let marks: Vec<(&str, [f64; 3])> = rows
        .iter()
        .filter_map(|row| {
            let bar = row.bar.filter(|bar| *bar > 0.0)?;
            let share = |value: f64| match row.better {
                Better::Higher => value / bar,
                Better::Lower => bar / value.max(bar / 3.0),
            };
            Some((row.figure.as_str(), [share(row.min), share(row.value), share(row.max)]))
        })
        .collect();
    let height = ROW_PIXELS * marks.len() as u32 + 80;
    let mut image = String::new();
    {
        let area = SVGBackend::with_string(&mut image, (1000, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let area =
            area.titled("The figure : its bar (1 is the bar, more is better)", ("sans-serif", 16))?;
        let count = marks.len();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(430)
            .build_cartesian_2d(0.0..3.0, (0..count as i32).into_segmented())?;
        let name = |at: &SegmentValue<i32>| match at {
            SegmentValue::CenterOf(at) => {
                // The axis asks for a label or two beyond its ends.
                let row = usize::try_from(*at).ok().and_then(|at| (count - 1).checked_sub(at));
                row.and_then(|row| marks.get(row)).map_or("", |mark| mark.0).to_owned()
            }
            _ => String::new(),
        };
        chart.configure_mesh().disable_y_mesh().y_labels(count).y_label_formatter(&name).draw()?;
        for (row, (_, [low, middle, high])) in marks.iter().enumerate() {
            let at = SegmentValue::CenterOf((count - 1 - row) as i32);
            let color = if *middle >= 1.0 {
                RGBColor(0x1b, 0x4f, 0x9c)
            } else {
                RGBColor(0xc8, 0x3c, 0x1e)
            };
            let clip = |share: f64| share.clamp(0.0, 3.0);
            chart.draw_series([PathElement::new(
                vec![(clip(*low), at.clone()), (clip(*high), at.clone())],
                color.stroke_width(3),
            )])?;
            chart.draw_series([Circle::new((clip(*middle), at), 6, color.filled())])?;
        }
        chart.draw_series([PathElement::new(
            vec![(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Exact(count as i32))],
            BLACK.stroke_width(1),
        )])?;
        area.present()?;
    }
    Ok(std::fs::write(file, image)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_need_to_be() {
        assert_eq!(
            [0.85, 12.34, 123.4, 1_234_567.8].map(short),
            ["0.85", "12.3", "123", "1,234,568"]
        );
    }
}
