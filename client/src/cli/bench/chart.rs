//! A picture of a run: records per second over time, and latencies by percentile.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::measure::Measure;
use super::report::Report;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 720);
/// The pictures' colours: puts, and deliveries. They differ in brightness, too.
const COLORS: [RGBColor; 2] = [RGBColor(0x1b, 0x4f, 0x9c), RGBColor(0xd9, 0x7b, 0x12)];
/// Nines of the percentile axis: up to 99.999 %.
const NINES_MAX: f64 = 5.0;

/// Draws the report into an SVG file.
pub(super) fn write(report: &Report, file: &Path) -> std::io::Result<()> {
    let mut image = String::new();
    draw(report, &mut image).map_err(|error| std::io::Error::other(error.to_string()))?;
    std::fs::write(file, image)
}

fn draw(report: &Report, image: &mut String) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(image, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled(&report.title(), ("sans-serif", 16))?;
    let (upper, lower) = area.split_vertically(SIZE.1 / 2 - 10);
    let mut measures = vec![("put", &report.acknowledgements)];
    if !report.followed.is_empty() {
        measures.push(("delivered", &report.deliveries));
    }

    let rates: Vec<_> = measures.iter().map(|(name, m)| (*name, m.over_time())).collect();
    let axes = Axes {
        x: "seconds",
        y: "records/s",
        x_words: plain,
        y_words: thousands,
        // Rates run along the top.
        legend: SeriesLabelPosition::LowerRight,
    };
    lines(&upper, &axes, &rates)?;

    let latencies: Vec<_> = measures.iter().map(|(name, m)| (*name, percentiles(m))).collect();
    let axes = Axes {
        x: "percentile",
        y: "ms",
        x_words: percent,
        y_words: plain,
        // Latencies rise to the right.
        legend: SeriesLabelPosition::UpperLeft,
    };
    lines(&lower, &axes, &latencies)?;
    area.present()?;
    Ok(())
}

struct Axes {
    x: &'static str,
    y: &'static str,
    x_words: fn(f64) -> String,
    y_words: fn(f64) -> String,
    legend: SeriesLabelPosition,
}

/// A line: its name and its points.
type Line = (&'static str, Vec<(f64, f64)>);

fn lines<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    axes: &Axes,
    lines: &[Line],
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let points = || lines.iter().flat_map(|(_, points)| points);
    let x_max = points().map(|point| point.0).fold(1.0, f64::max);
    let y_max = points().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(&|x| (axes.x_words)(*x))
        .y_label_formatter(&|y| (axes.y_words)(*y))
        .light_line_style(WHITE)
        .draw()?;
    for ((name, points), color) in lines.iter().zip(COLORS) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().position(axes.legend.clone()).background_style(WHITE).draw()?;
    Ok(())
}

/// Latency in milliseconds against nines: 1 is 90 %, 2 is 99 %.
fn percentiles(measure: &Measure) -> Vec<(f64, f64)> {
    if !measure.has_latency() {
        return Vec::new();
    }
    (0..=100)
        .map(|step| f64::from(step) * NINES_MAX / 100.0)
        .map(|nines| (nines, measure.milliseconds(1.0 - 10f64.powf(-nines))))
        .collect()
}

fn percent(nines: f64) -> String {
    let decimals = (nines.ceil() - 2.0).max(0.0) as usize;
    format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-nines)))
}

fn thousands(number: f64) -> String {
    super::super::output::count(number as u64)
}

fn plain(number: f64) -> String {
    let number = format!("{number:.2}");
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_read_well() {
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 5.0].map(percent),
            ["0 %", "90 %", "99 %", "99.9 %", "99.999 %"]
        );
        assert_eq!(thousands(400_000.0), "400,000");
        assert_eq!([0.0, 0.25, 12.0].map(plain), ["0", "0.25", "12"]);
    }
}
