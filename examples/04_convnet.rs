//! A convolutional network tells horizontal from vertical bars; training and use share the weights.

use wgrad::{chain, nn::*, optim::AdamW, prelude::*};

const BATCH: usize = 32;

/// Noisy 8×8 images with one bar each, and whether it is vertical.
fn images(seed: u32) -> (Vec<f32>, Vec<u32>) {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let (vertical, at) = (next() % 2, next() % 8);
        for i in 0..64 {
            let on = if vertical == 1 { i % 8 == at } else { i / 8 == at };
            let noise = (next() % 1000) as f32 / 1000.0;
            pixels.push(f32::from(u8::from(on)) + 0.5 * noise);
        }
        labels.push(vertical);
    }
    (pixels, labels)
}

fn network() -> impl Layer {
    chain![conv(8, 3).pad(1), relu(), max_pool(2, 2), conv(16, 3).pad(1), relu(), max_pool(2, 2), flatten(), linear(2)]
}

fn main() -> Result<(), Error> {
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [BATCH, 1, 8, 8]), graph.input_of("label", [BATCH], DType::U32));
    let loss = network().apply(&x).cross_entropy(&label);
    AdamW::new(3e-3).minimise(&loss);

    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("loss", &loss)], context.target())?;
    let weights = Weights::init(&context, &plan, 7)?;
    let training = Session::new(&context, plan, &weights)?;
    for step in 0..100 {
        let (pixels, labels) = images(step);
        training.write("x", &Array::from_f32([BATCH, 1, 8, 8], &pixels)?)?;
        training.write("label", &Array::from_u32([BATCH], &labels)?)?;
        training.run()?;
    }
    println!("loss {:.4}", training.read_blocking("loss")?.to_f32()[0]);

    // Another graph over the same weights.
    let graph = Graph::new(Mode::Infer);
    let class = network().apply(&graph.input("x", [BATCH, 1, 8, 8])).argmax(1);
    let using = Session::new(&context, graph.plan(&[("class", &class)], context.target())?, &weights)?;
    let (pixels, labels) = images(12345);
    using.write("x", &Array::from_f32([BATCH, 1, 8, 8], &pixels)?)?;
    using.run()?;
    let found = using.read_blocking("class")?.to_u32();
    let right = found.iter().zip(&labels).filter(|(found, label)| found == label).count();
    println!("{right} of {BATCH} new images are right");
    assert!(right >= BATCH - 1);
    Ok(())
}
