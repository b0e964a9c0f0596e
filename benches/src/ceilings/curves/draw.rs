//! The picture of a curve: above, records per second; below, the slowest hundredth. What varies
//! doubles from mark to mark.

use std::error::Error;
use std::path::Path;

use anabranch_client::cli::count;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Measured, Point};

const SIZE: (u32, u32) = (800, 640);
const COLOR: RGBColor = RGBColor(0x1b, 0x4f, 0x9c);

pub(super) fn draw(
    title: &str,
    axis: &str,
    points: &[Point],
    file: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut image = String::new();
    {
        let area = SVGBackend::with_string(&mut image, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(title, ("sans-serif", 15))?;
        let (upper, lower) = area.split_vertically(SIZE.1 / 2 - 10);
        panel(&upper, axis, "records/s", points, |measured| measured.records_per_second)?;
        panel(&lower, axis, "p99, ms", points, |measured| measured.p99_us / 1e3)?;
        area.present()?;
    }
    Ok(std::fs::write(file, image)?)
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    x: &str,
    y: &str,
    points: &[Point],
    of: fn(&Measured) -> f64,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let middle: Vec<(f64, f64)> =
        points.iter().map(|point| (f64::from(point.at).log2(), point.median(of))).collect();
    let most = points.iter().flat_map(|point| point.values(of)).fold(f64::MIN_POSITIVE, f64::max);
    let ends = |at: Option<&(f64, f64)>| at.map_or(0.0, |(x, _)| *x);
    let (left, right) = (ends(middle.first()), ends(middle.last()));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(84)
        .build_cartesian_2d(left - 0.2..right + 0.2, 0.0..most * 1.1)?;
    let words = |number: f64| match number {
        100.0.. => count(number.round() as u64),
        _ => format!("{number:.1}"),
    };
    chart
        .configure_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&|x| count(x.exp2().round() as u64))
        .y_label_formatter(&|y| words(*y))
        .light_line_style(WHITE)
        .draw()?;
    for point in points {
        let x = f64::from(point.at).log2();
        let values = point.values(of);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let spread = vec![(x, least), (x, most)];
        chart.draw_series([PathElement::new(spread, COLOR.mix(0.4).stroke_width(4))])?;
    }
    chart.draw_series(LineSeries::new(middle.iter().copied(), COLOR.stroke_width(2)))?;
    chart.draw_series(middle.iter().map(|at| Circle::new(*at, 4, COLOR.filled())))?;
    Ok(())
}
