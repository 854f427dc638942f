//! A multilayer perceptron learns exclusive or: forward, backward and update in one submit.

use wgrad::{chain, nn::*, optim::Adam, prelude::*};

fn main() -> Result<(), Error> {
    let graph = Graph::new(Mode::Train);
    let (x, target) = (graph.input("x", [4, 2]), graph.input("target", [4, 1]));
    let y = chain![linear(16), tanh(), linear(1)].apply(&x);
    let loss = (&y - &target).square().mean_all();
    Adam::new(0.02).minimise(&loss);

    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("loss", &loss), ("y", &y)], context.target())?;
    println!("{}", plan.report());
    let weights = Weights::init(&context, &plan, 1)?;
    let session = Session::new(&context, plan, &weights)?;
    session.write("x", &Array::from_f32([4, 2], &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?)?;
    session.write("target", &Array::from_f32([4, 1], &[0.0, 1.0, 1.0, 0.0])?)?;
    for step in 1..=400 {
        session.run()?;
        if step % 100 == 0 {
            println!("step {step}: loss {:.6}", session.read_blocking("loss")?.to_f32()[0]);
        }
    }
    let y = session.read_blocking("y")?.to_f32();
    println!("{y:?}");
    assert!(y.iter().zip([0.0, 1.0, 1.0, 0.0]).all(|(y, target)| (y - target).abs() < 0.1));
    Ok(())
}
