//! `cargo bench --bench kernels`: operations forward and with their gradients, beside the rooflines of the same run:
//! first shapes that others report, then every operation of the catalogue at three sizes.

mod measure;
mod reference;

use measure::Bench;
use wgrad::{
    autodiff::gradients,
    catalogue::{Example, Size, entries},
    error::ErrorKind,
    kernel::DeviceClass,
    ops::{Attention, Cell, Conv2d, Recurrent, RecurrentWeights},
    prelude::*,
};

/// One operation on parameters of these shapes: forward, then forward and backward.
fn both(
    bench: &mut Bench,
    name: &str,
    shapes: &[&[usize]],
    op: impl Fn(&Graph, &[Tensor]) -> Tensor,
) -> Result<(), Error> {
    let graph = Graph::new(Mode::Infer);
    let inputs: Vec<Tensor> = shapes
        .iter()
        .enumerate()
        .map(|(i, &shape)| graph.parameter(&format!("x{i}"), shape, Init::normal(0.1)))
        .collect();
    let y = op(&graph, &inputs);
    bench.row(name, &graph, &[("y", &y)], |_| Ok(()))?;
    let loss = y.mul(&graph.parameter("w", y.shape(), Init::normal(1.0))).sum_all();
    let found = gradients(&loss, &inputs);
    let names: Vec<String> = (0..found.len()).map(|i| format!("dx{i}")).collect();
    let gradients = names.iter().zip(&found).filter_map(|(name, gradient)| Some((name.as_str(), gradient.as_ref()?)));
    let outputs: Vec<(&str, &Tensor)> = gradients.chain([("y", &y)]).collect();
    bench.row(&format!("{name} + backward"), &graph, &outputs, |_| Ok(()))
}

/// Some tensors of an example, unless the device refuses the size or there is nothing to do.
fn run(bench: &mut Bench, name: &str, example: &Example, outputs: &[Tensor]) -> Result<(), Error> {
    if outputs.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
    let outputs: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(outputs).collect();
    match bench.row(name, example.graph(), &outputs, |session| example.fill(session, 1)) {
        Err(error) if error.kind() == ErrorKind::Limit => println!("{name}: {error}"),
        done => return done,
    }
    Ok(())
}

/// Where the device is a software driver with subgroups: the fastest plain kernels we know for one.
fn references(bench: &mut Bench) -> Result<(), Error> {
    let target = bench.context.target();
    if !target.class.is_software() || !target.subgroups {
        return Ok(());
    }
    // As they are written, which a plan for software drivers would not leave them.
    let as_written = target.with_class(DeviceClass::Portable);
    let graph = Graph::new(Mode::Infer);
    let parameter = |name, shape: [usize; 2]| graph.parameter(name, shape, Init::normal(0.1));
    let y = reference::matmul_1024(&parameter("a", [1024, 1024]), &parameter("b", [1024, 1024]));
    bench.row_for(&as_written, "reference: matmul 1024", &graph, &[("y", &y)], |_| Ok(()))?;
    let y = reference::softmax_8192x1024(&parameter("x", [8192, 1024]));
    bench.row_for(&as_written, "reference: softmax 8192x1024", &graph, &[("y", &y)], |_| Ok(()))
}

fn main() -> Result<(), Error> {
    let mut bench = Bench::new()?;
    references(&mut bench)?;
    for n in [256, 512, 1024] {
        both(&mut bench, &format!("matmul {n}"), &[&[n, n], &[n, n]], |_, x| x[0].matmul(&x[1]))?;
    }
    both(&mut bench, "linear 1 x 4096 x 4096", &[&[1, 4096], &[4096, 4096]], |_, x| x[0].linear(&x[1], None))?;
    let same = Conv2d { padding: [1, 1].into(), ..Default::default() };
    both(&mut bench, "conv 64x56x56 -> 64, 3x3", &[&[1, 64, 56, 56], &[64, 64, 3, 3]], |_, x| {
        x[0].conv2d(&x[1], None, same)
    })?;
    let stride = Conv2d { stride: [4, 4], padding: [2, 2].into(), ..Default::default() };
    both(&mut bench, "conv alexnet 1", &[&[1, 3, 224, 224], &[64, 3, 11, 11]], |_, x| {
        x[0].conv2d(&x[1], None, stride)
    })?;
    let pool = wgrad::ops::MaxPool2d { stride: Some([2, 2]), ..wgrad::ops::MaxPool2d::new(3) };
    both(&mut bench, "max_pool 64x112x112 3/2", &[&[1, 64, 112, 112]], |_, x| x[0].max_pool2d(pool))?;
    both(&mut bench, "gelu(1.3 x + 0.1) 8M", &[&[8192, 1024]], |_, x| (&x[0] * 1.3 + 0.1).gelu())?;
    both(&mut bench, "softmax 512x1024", &[&[512, 1024]], |_, x| x[0].softmax(-1))?;
    both(&mut bench, "softmax 8192x1024", &[&[8192, 1024]], |_, x| x[0].softmax(-1))?;
    both(&mut bench, "layer_norm 512x1024", &[&[512, 1024], &[1024], &[1024]], |_, x| {
        x[0].layer_norm(&x[1], &x[2], 1e-5)
    })?;
    both(&mut bench, "sum of 16M", &[&[16 << 20]], |_, x| x[0].sum_all())?;
    both(&mut bench, "embedding 1024 of 30000x384", &[&[30_000, 384]], |graph, x| {
        x[0].embedding(&graph.input_of("ids", [8, 128], DType::U32))
    })?;
    for time in [128, 512] {
        let shape: &[usize] = &[4, 6, time, 64];
        both(&mut bench, &format!("attention 4x6x{time}x64"), &[shape; 3], |_, x| {
            x[0].attention(&x[1], &x[2], Attention::default())
        })?;
    }
    let lstm: &[&[usize]] = &[&[8, 64, 256], &[1024, 256], &[1024, 256], &[1024], &[1024]];
    both(&mut bench, "lstm 8x64x256", lstm, |_, x| {
        let weights = RecurrentWeights { weight_ih: &x[1], weight_hh: &x[2], bias: Some([&x[3], &x[4]]) };
        x[0].recurrent(Cell::Lstm, &weights, &Recurrent::default()).output
    })?;
    for entry in entries() {
        for size in [Size::Small, Size::Medium, Size::Large] {
            let name = format!("{} {}", entry.name, format!("{size:?}").to_lowercase());
            let example = entry.example(size, DType::F32);
            run(&mut bench, &name, &example, example.outputs())?;
            let gradients = example.gradients();
            if example.graph().check().is_ok() {
                run(&mut bench, &format!("{name} + backward"), &example, &gradients)?;
            }
        }
    }
    bench.finish();
    Ok(())
}
