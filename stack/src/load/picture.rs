//! A picture of a load: journeys by second, and their latencies.

use std::path::Path;

use plotters::prelude::*;

use super::report::Report;

const SIZE: (u32, u32) = (900, 640);

/// Writes an SVG.
pub(super) fn draw(report: &Report, path: &Path) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (above, below) = area.split_vertically(SIZE.1 / 2);
    throughput(report, &above)?;
    latency(report, &below)?;
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn throughput(report: &Report, area: &Area<'_>) -> anyhow::Result<()> {
    // The last second is only a part of one.
    let whole = usize::try_from(report.ran.as_secs()).unwrap_or(usize::MAX).clamp(1, report.seconds.len().max(1));
    let seconds = || report.seconds.iter().copied().take(whole);
    let most = seconds().max().unwrap_or_default().max(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Journeys that ended in each second", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(70)
        .build_cartesian_2d(0..whole, 0..most + most / 10 + 1)?;
    chart.configure_mesh().x_desc("seconds").light_line_style(WHITE).draw()?;
    chart.draw_series(LineSeries::new(seconds().enumerate(), BLUE.stroke_width(2)))?;
    Ok(())
}

/// The share of journeys that took longer halves from mark to mark.
fn latency(report: &Report, area: &Area<'_>) -> anyhow::Result<()> {
    let points: Vec<(f64, f64)> =
        report.quantiles.iter().map(|(longer, latency)| ((1.0 / longer).log2(), latency.as_secs_f64() * 1e3)).collect();
    let right = points.last().map_or(1.0, |(place, _)| place.max(1.0));
    let most = points.iter().map(|(_, latency)| *latency).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Latency of journeys", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..right, 0.0..most * 1.1)?;
    let percentile = |place: &f64| format!("{:.3} %", 100.0 * (1.0 - 0.5f64.powf(*place)));
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("ms")
        .x_label_formatter(&percentile)
        .light_line_style(WHITE)
        .draw()?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    Ok(())
}
