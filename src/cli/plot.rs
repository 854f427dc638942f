//! Curves as a picture.

use crate::error::{Error, ErrorKind};
use plotters::{prelude::*, style::register_font};
use std::path::Path;

/// A curve over epochs: its name and its values.
pub(super) struct Curve<'a> {
    pub name: &'a str,
    pub values: Vec<f64>,
}

/// Draws loss curves on the left and accuracy curves on the right.
pub(super) fn draw(path: &Path, loss: &[Curve<'_>], accuracy: &[Curve<'_>]) -> Result<(), Error> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| Error::new(ErrorKind::Data, "plot: the font that is part of the program is broken"))?;
    draw_all(path, loss, accuracy)
        .map_err(|error| Error::new(ErrorKind::Data, format!("{}: cannot be drawn: {error}", path.display())))
}

fn draw_all(path: &Path, loss: &[Curve<'_>], accuracy: &[Curve<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let root = BitMapBackend::new(path, (1000, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(500);
    let largest = loss.iter().flat_map(|curve| &curve.values).fold(0.0_f64, |m, &x| m.max(x));
    panel(&left, "loss (cross-entropy)", loss, 0.0..(largest * 1.05).max(1e-3))?;
    let lowest = accuracy.iter().flat_map(|curve| &curve.values).fold(1.0_f64, |m, &x| m.min(x));
    panel(&right, "accuracy", accuracy, (lowest - 0.02).max(0.0)..1.005)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>,
    title: &str,
    curves: &[Curve<'_>],
    range: std::ops::Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let epochs = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(1).max(2);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(1.0..epochs as f64, range)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .light_line_style(WHITE)
        .draw()?;
    for (i, curve) in curves.iter().enumerate() {
        let colour = [RGBColor(31, 119, 180), RGBColor(214, 96, 20)][i % 2];
        let points = curve.values.iter().enumerate().map(|(epoch, &value)| ((epoch + 1) as f64, value));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    Ok(())
}
