//! `cargo bench --bench scaling`: how time and memory of a transformer's training step grow with batch, sequence
//! length, width and depth, beside the law they should follow. Draws `target/scaling/*.png`.
//!
//! The law of time is the multiply-adds of a step, by hand: a block of width E on B·T tokens makes 24·B·T·E² in its
//! matrices and 4·B·T²·E in attention forward, and twice that backward. Memory: 12·E² parameters for each block, three
//! times over with AdamW, and activations B·T·E, plus what attention keeps for a row. Both laws are scaled to the last
//! measurement of their curve: what counts is the slope.

use plotters::{prelude::*, style::register_font};
use std::{error::Error, fs, path::Path, time::Instant};
use wgrad::{nn::*, optim::AdamW, prelude::*};

/// A transformer's sizes.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    length: usize,
    width: usize,
    depth: usize,
}

/// What is varied from the middle, with the values it takes.
type Knob = (&'static str, [usize; 4], fn(&mut Sizes, usize));

const MIDDLE: Sizes = Sizes { batch: 2, length: 128, width: 128, depth: 2 };

const KNOBS: [Knob; 4] = [
    ("batch", [1, 2, 4, 8], |sizes, n| sizes.batch = n),
    ("length", [64, 128, 256, 512], |sizes, n| sizes.length = n),
    ("width", [64, 128, 256, 512], |sizes, n| sizes.width = n),
    ("depth", [1, 2, 4, 8], |sizes, n| sizes.depth = n),
];

/// One size: what was measured and what the law says, in units of its own.
struct Point {
    at: usize,
    seconds: f64,
    work: f64,
    bytes: f64,
    numbers: f64,
}

fn measure(context: &Context, at: usize, sizes: Sizes) -> Result<Point, wgrad::error::Error> {
    let Sizes { batch, length, width, depth } = sizes;
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [batch, length, width]);
    let loss = stack("layers", depth, encoder_layer(4, 4 * width)).apply(&x).square().mean_all();
    AdamW::new(1e-3).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context.target())?;
    let bytes = plan.memory().total() as f64;
    let weights = Weights::init(context, &plan, 1)?;
    let session = Session::new(context, plan, &weights)?;
    let numbers: Vec<f32> = (0..batch * length * width).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    session.write("x", &Array::from_f32([batch, length, width], &numbers)?)?;
    let mut times = Vec::new();
    // The first run makes the device's memory real.
    for run in 0..6 {
        let begin = Instant::now();
        session.run()?;
        context.wait()?;
        if run > 0 {
            times.push(begin.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    let [b, t, e, l] = [batch, length, width, depth].map(|n| n as f64);
    let work = l * 3.0 * (24.0 * b * t * e * e + 4.0 * b * t * t * e);
    // Forward keeps the block's input, three projections, attention, two norms and the hidden layer of 4·E; backward
    // takes about as much again while it lasts, once.
    let numbers = l * 3.0 * 12.0 * e * e + (l + 1.0) * 16.0 * b * t * e;
    Ok(Point { at, seconds: times[times.len() / 2], work, bytes, numbers })
}

/// The slope of a curve between its last two points, on logarithmic axes; nothing for the first point.
fn slope(points: &[Point], of: impl Fn(&Point) -> f64) -> String {
    let [.., a, b] = points else { return String::new() };
    format!("{:.2}", (of(b) / of(a)).ln() / (b.at as f64 / a.at as f64).ln())
}

fn draw(path: &Path, name: &str, points: &[Point]) -> Result<(), Box<dyn Error>> {
    let root = BitMapBackend::new(path, (1000, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(500);
    panel(&left, "a training step, ms", name, points, |p| p.seconds * 1e3, |p| p.work)?;
    panel(&right, "memory of the plan, MB", name, points, |p| p.bytes / 1e6, |p| p.numbers)?;
    root.present()?;
    Ok(())
}

fn panel(
    area: &DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>,
    title: &str,
    name: &str,
    points: &[Point],
    measured: impl Fn(&Point) -> f64,
    law: impl Fn(&Point) -> f64,
) -> Result<(), Box<dyn Error>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(()) };
    let scale = measured(last) / law(last);
    let expected = |p: &Point| law(p) * scale;
    let all = || points.iter().flat_map(|p| [measured(p), expected(p)]);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (first.at as f64 * 0.9..last.at as f64 * 1.1).log_scale(),
            (low * 0.8..high * 1.2).log_scale(),
        )?;
    let short = |y: &f64| format!("{y:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(name).light_line_style(WHITE).x_label_formatter(&|x| format!("{x:.0}")).y_label_formatter(&short);
    mesh.draw()?;
    let blue = RGBColor(31, 119, 180);
    let line = LineSeries::new(points.iter().map(|p| (p.at as f64, measured(p))), blue.stroke_width(2));
    let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], blue.stroke_width(2));
    chart.draw_series(line.point_size(3))?.label("measured").legend(key);
    let orange = RGBColor(214, 96, 20);
    let line = LineSeries::new(points.iter().map(|p| (p.at as f64, expected(p))), orange.stroke_width(2));
    let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], orange.stroke_width(2));
    chart.draw_series(line.point_size(3))?.label("the law").legend(key);
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).map_err(|_| "the font is broken")?;
    let context = pollster::block_on(Context::new())?;
    let program = std::env::current_exe()?;
    // Benchmarks are built into target/release/deps.
    let target = program.ancestors().nth(3).ok_or("the program is in no target folder")?;
    let folder = target.join("scaling");
    fs::create_dir_all(&folder)?;
    println!("device  {}, around {MIDDLE:?}", context.name());
    println!("{:<8} {:>6} {:>10} {:>8} {:>8} {:>10} {:>8} {:>8}", "", "", "ms", "slope", "law", "MB", "slope", "law");
    for (name, values, set) in KNOBS {
        let mut points = Vec::new();
        for at in values {
            let mut sizes = MIDDLE;
            set(&mut sizes, at);
            points.push(measure(&context, at, sizes)?);
            let point = &points[points.len() - 1];
            println!(
                "{name:<8} {at:>6} {:>10.2} {:>8} {:>8} {:>10.2} {:>8} {:>8}",
                point.seconds * 1e3,
                slope(&points, |p| p.seconds),
                slope(&points, |p| p.work),
                point.bytes / 1e6,
                slope(&points, |p| p.bytes),
                slope(&points, |p| p.numbers),
            );
        }
        draw(&folder.join(format!("{name}.png")), name, &points)?;
    }
    println!("\ndrawn in {}", folder.display());
    Ok(())
}
