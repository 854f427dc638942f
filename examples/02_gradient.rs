//! Gradients are more graph: differentiate, look at it, run it.

use wgrad::{autodiff::gradients, prelude::*};

fn main() -> Result<(), Error> {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [3]);
    let loss = x.sigmoid().log().sum_all();
    let first = gradients(&loss, std::slice::from_ref(&x))[0].clone().unwrap_or_else(|| x.clone());
    // The gradient of a gradient is no special case.
    let second = gradients(&first.sum_all(), std::slice::from_ref(&x))[0].clone().unwrap_or_else(|| x.clone());
    println!("{graph}");

    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("first", &first), ("second", &second)], context.target())?;
    let weights = Weights::init(&context, &plan, 0)?;
    let session = Session::new(&context, plan, &weights)?;
    let numbers = [-1.0_f32, 0.0, 2.0];
    session.write("x", &Array::from_f32([3], &numbers)?)?;
    session.run()?;

    let (first, second) = (session.read_blocking("first")?.to_f32(), session.read_blocking("second")?.to_f32());
    for (i, x) in numbers.iter().enumerate() {
        let s = 1.0 / (1.0 + (-x).exp());
        println!("x = {x}: gradient {}, second gradient {}", first[i], second[i]);
        assert!((first[i] - (1.0 - s)).abs() < 1e-5 && (second[i] + s * (1.0 - s)).abs() < 1e-5);
    }
    Ok(())
}
