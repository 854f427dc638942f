//! `cargo bench --bench models`: whole steps, beside the rooflines of the same run.

mod measure;

use measure::Bench;
use wgrad::{
    measure::Profile,
    models::{alexnet, lenet},
    optim::{AdamW, Sgd},
    prelude::*,
};

/// A training step of a classifier of images.
fn training(network: &dyn Layer, image: [usize; 4], update: impl Fn(&Tensor)) -> (Graph, Tensor) {
    let graph = Graph::new(Mode::Train);
    let label = graph.input_of("label", [image[0]], DType::U32);
    let loss = network.apply(&graph.input("x", image)).cross_entropy(&label);
    update(&loss);
    (graph, loss)
}

fn main() -> Result<(), Error> {
    let mut bench = Bench::new()?;
    let context = bench.context.clone();
    let adam = |loss: &Tensor| AdamW::new(1e-3).minimise(loss);
    let sgd = |loss: &Tensor| Sgd::new(0.01).minimise(loss);

    let (graph, loss) = training(&lenet(10), [32, 1, 8, 8], adam);
    let plan = graph.plan(&[("loss", &loss)], context.target())?;
    let weights = Weights::init(&context, &plan, 1)?;
    let digits = Session::new(&context, plan, &weights)?;
    bench.row("digits step, batch 32", &graph, &[("loss", &loss)], |_| Ok(()))?;
    let (graph, loss) = training(&lenet(10), [64, 1, 28, 28], sgd);
    bench.row("28x28 step, batch 64", &graph, &[("loss", &loss)], |_| Ok(()))?;

    let graph = Graph::new(Mode::Infer);
    let y = alexnet(1000).apply(&graph.input("x", [1, 3, 224, 224]));
    bench.row("alexnet, batch 1", &graph, &[("y", &y)], |_| Ok(()))?;
    let (graph, loss) = training(&alexnet(1000), [4, 3, 224, 224], sgd);
    bench.row("alexnet step, batch 4", &graph, &[("loss", &loss)], |_| Ok(()))?;

    bench.finish();

    println!("\ndigits step, dispatch by dispatch:\n{:>9}  {:<32} operations", "us", "kernel");
    for step in Profile::of(&digits, 20)?.steps {
        println!("{:>9.1}  {:<32} {}", step.seconds * 1e6, step.kernel, step.operations);
    }
    Ok(())
}
