//! Curves as a picture.

use crate::error::{Error, ErrorKind};
use plotters::{prelude::*, style::register_font};
use std::path::Path;

/// A curve: its name and its points.
pub(super) struct Curve<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

/// Curves over one axis.
pub(super) struct Panel<'a> {
    pub title: &'a str,
    /// What the horizontal axis counts.
    pub x: &'a str,
    /// Whether the values are shares of 1, of which the upper end matters.
    pub share: bool,
    pub curves: Vec<Curve<'a>>,
}

/// Draws panels side by side.
pub(super) fn draw(path: &Path, panels: &[Panel<'_>]) -> Result<(), Error> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| Error::new(ErrorKind::Data, "plot: the font that is part of the program is broken"))?;
    draw_all(path, panels)
        .map_err(|error| Error::new(ErrorKind::Data, format!("{}: cannot be drawn: {error}", path.display())))
}

fn draw_all(path: &Path, panels: &[Panel<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let root = BitMapBackend::new(path, (500 * panels.len() as u32, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((1, panels.len())).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    area: &DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>,
    Panel { title, x, share, curves }: &Panel<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points).filter(|(_, y)| y.is_finite());
    let range = if *share {
        (points().fold(1.0_f64, |m, &(_, y)| m.min(y)) - 0.02).max(0.0)..1.005
    } else {
        0.0..(points().fold(0.0_f64, |m, &(_, y)| m.max(y)) * 1.05).max(1e-3)
    };
    let first = points().fold(f64::INFINITY, |m, &(x, _)| m.min(x)).min(1.0);
    let last = points().fold(0.0_f64, |m, &(x, _)| m.max(x)).max(first + 1.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(first..last, range)?;
    chart
        .configure_mesh()
        .x_desc(*x)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .light_line_style(WHITE)
        .draw()?;
    for (i, curve) in curves.iter().enumerate() {
        let colour = [RGBColor(31, 119, 180), RGBColor(214, 96, 20), RGBColor(44, 140, 60)][i % 3];
        let points = curve.points.iter().copied().filter(|(_, y)| y.is_finite());
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
