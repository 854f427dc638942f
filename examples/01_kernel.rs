//! One operation on the GPU: write a graph, plan it, run it, read the result.

use wgrad::prelude::*;

fn main() -> Result<(), Error> {
    // A graph is plain data. Nothing runs here.
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [2, 3]);
    let y = x.gelu() * 2.0;

    // A plan says what will run and how much memory it needs, before anything is allocated.
    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("y", &y)], context.target())?;
    println!("{}", plan.report());

    // A session has the buffers and pipelines; a run is one submit.
    let weights = Weights::init(&context, &plan, 0)?;
    let session = Session::new(&context, plan, &weights)?;
    session.write("x", &Array::from_f32([2, 3], &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])?)?;
    session.run()?;
    let y = session.read_blocking("y")?.to_f32();
    println!("{y:?}");

    assert!((y[4] - 2.0 * 1.954_499_7).abs() < 1e-5 && y[2] == 0.0);
    Ok(())
}
