//! `cargo bench --bench gpu`: what a GPU should be kept busy with, beside the rooflines of the same run, and the kernels
//! that take most of a step. Rates are those of the device's own time, by timestamps around each kernel; `ms` is by the clock.
//! Words behind `--` choose rows by name. `gpu/torch_gpu.py` times the same in PyTorch. Software drivers take minutes for it.

use std::time::Instant;
use wgrad::{
    autodiff::gradients,
    data::TensorDesc,
    measure::{Profile, Roofline},
    models::{BertConfig, alexnet, bert},
    ops::{Attention, Cell, Recurrent, RecurrentWeights},
    optim::Adam,
    prelude::*,
};

/// Makes a session with seed 1 of outputs and every update of a graph. Inputs stay zero.
fn session(context: &Context, graph: &Graph, outputs: &[(&str, &Tensor)]) -> Result<Session, Error> {
    let plan = graph.plan(outputs, context.target())?;
    let weights = Weights::init(context, &plan, 1)?;
    Session::new(context, plan, &weights)
}

/// Milliseconds a run takes among others: the median of several rows of them, each waited for at its end.
fn milliseconds(session: &Session) -> Result<f64, Error> {
    let row = |runs: u32| -> Result<f64, Error> {
        let begin = Instant::now();
        for _ in 0..runs {
            session.run()?;
        }
        session.context().wait()?;
        Ok(begin.elapsed().as_secs_f64() * 1e3 / f64::from(runs))
    };
    row(1)?;
    let runs = (30.0 / row(2)?).clamp(1.0, 100.0) as u32;
    let mut rows = (0..7).map(|_| row(runs)).collect::<Result<Vec<f64>, Error>>()?;
    rows.sort_by(f64::total_cmp);
    Ok(rows[rows.len() / 2])
}

/// Whether a row was asked for: all are where no words are given.
fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

fn print_row(roofline: &Roofline, name: &str, session: &Session) -> Result<(), Error> {
    if !wanted(name) {
        return Ok(());
    }
    let report = session.plan().report();
    let (ms, flops, bytes) = (milliseconds(session)?, report.flops(), report.bytes());
    // While the device is busy, so that its clock is not that of an idle one.
    let seconds = Profile::of(session, 9)?.seconds();
    println!(
        "{name:<34} {:>5} {ms:>10.4} {:>10.4} {:>10.2} {:>9.1} {:>8.1}%",
        report.steps.len(),
        seconds * 1e3,
        flops as f64 / seconds / 1e12,
        bytes as f64 / seconds / 1e9,
        100.0 * roofline.share(flops, bytes, seconds),
    );
    Ok(())
}

/// The kernels that take more than a twentieth of a run.
fn print_kernels(roofline: &Roofline, name: &str, session: &Session) -> Result<(), Error> {
    if !wanted(name) {
        return Ok(());
    }
    let profile = Profile::of(session, 9)?;
    let mut kernels: Vec<(&str, f64, f64)> = Vec::new();
    for step in &profile.steps {
        let least = roofline.seconds(step.flops, step.bytes);
        match kernels.iter_mut().find(|(kernel, ..)| *kernel == step.kernel) {
            Some((_, seconds, sum)) => (*seconds, *sum) = (*seconds + step.seconds, *sum + least),
            None => kernels.push((&step.kernel, step.seconds, least)),
        }
    }
    kernels.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("\n{name}: {:.3} ms on the device, of which", profile.seconds() * 1e3);
    for (kernel, seconds, least) in kernels.iter().filter(|(_, seconds, _)| *seconds > profile.seconds() / 20.0) {
        let (part, share) = (100.0 * seconds / profile.seconds(), 100.0 * least / seconds);
        println!("  {part:>5.1} % {kernel:<44} at {share:>5.1} % of the roofline");
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let context = pollster::block_on(Context::new())?;
    let roofline = Roofline::measure(&context)?;
    println!("device    {} ({:?})", context.name(), context.target().class);
    println!("roofline  {:.0} GFLOP/s in f32, {:.0} GB/s copied\n", roofline.flops / 1e9, roofline.bytes / 1e9);
    let heads = ["what", "disp.", "ms", "device ms", "TFLOP/s", "GB/s", "roofline"];
    let [what, dispatches, ms, device, flops, bytes, share] = heads;
    println!("{what:<34} {dispatches:>5} {ms:>10} {device:>10} {flops:>10} {bytes:>9} {share:>9}");

    let half = context.target().f16;
    let dtypes: &[DType] = if half { &[DType::F32, DType::F16] } else { &[DType::F32] };
    let random = |graph: &Graph, name: &str, shape: &[usize], dtype| {
        graph.parameter_of(name, TensorDesc::new(shape, dtype), Init::normal(0.1))
    };
    for &dtype in dtypes {
        for n in [1024, 4096, 8192] {
            let graph = Graph::new(Mode::Infer);
            let y = random(&graph, "a", &[n, n], dtype).matmul(&random(&graph, "b", &[n, n], dtype));
            print_row(&roofline, &format!("matmul {n} {dtype}"), &session(&context, &graph, &[("y", &y)])?)?;
        }
    }
    let rows = [32_768, 1024];
    type Rows = fn(&Tensor, &Tensor) -> Tensor;
    let operations: [(&str, Rows); 5] = [
        ("add", |x, _| x + &(x * 2.0).detach()),
        ("gelu", |x, _| x.gelu()),
        ("softmax", |x, _| x.softmax(-1)),
        ("layer_norm", |x, w| x.layer_norm(w, w, 1e-5)),
        ("sum", |x, _| x.sum(&[-1], false)),
    ];
    for (name, operation) in operations {
        let graph = Graph::new(Mode::Infer);
        let x = random(&graph, "x", &rows, DType::F32);
        let y = operation(&x, &random(&graph, "w", &[1024], DType::F32));
        print_row(&roofline, &format!("{name} 32768x1024"), &session(&context, &graph, &[("y", &y)])?)?;
        let w = random(&graph, "dy", &y.shape(), DType::F32);
        let gradient = gradients(&(&y * &w).sum_all(), &[x]);
        if let Some(Some(dx)) = gradient.first() {
            print_row(&roofline, &format!("{name} 32768x1024 backward"), &session(&context, &graph, &[("dx", dx)])?)?;
        }
    }
    for &dtype in dtypes {
        let graph = Graph::new(Mode::Infer);
        let x = ["q", "k", "v"].map(|name| random(&graph, name, &[4, 16, 1024, 64], dtype));
        let y = x[0].attention(&x[1], &x[2], Attention::default());
        print_row(&roofline, &format!("attention 4x16x1024x64 {dtype}"), &session(&context, &graph, &[("y", &y)])?)?;
        let loss = (&y * &random(&graph, "dy", &[4, 16, 1024, 64], dtype)).sum_all();
        let found: Vec<Tensor> = gradients(&loss, &x).into_iter().flatten().collect();
        let outputs: Vec<(&str, &Tensor)> = ["dq", "dk", "dv"].into_iter().zip(&found).collect();
        let name = format!("attention 4x16x1024x64 {dtype} + backward");
        print_row(&roofline, &name, &session(&context, &graph, &outputs)?)?;
    }

    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [8, 64, 256]);
    let shapes: [&[usize]; 4] = [&[1024, 256], &[1024, 256], &[1024], &[1024]];
    let w: Vec<Tensor> =
        shapes.iter().enumerate().map(|(i, shape)| random(&graph, &format!("w{i}"), shape, DType::F32)).collect();
    let weights = RecurrentWeights { weight_ih: &w[0], weight_hh: &w[1], bias: Some([&w[2], &w[3]]) };
    let loss = x.recurrent(Cell::Lstm, &weights, &Recurrent::default()).output.square().sum_all();
    Adam::new(1e-4).minimise(&loss);
    let lstm = session(&context, &graph, &[("loss", &loss)])?;
    print_row(&roofline, "lstm 8x64x256 step", &lstm)?;

    let graph = Graph::new(Mode::Train);
    let ids = graph.input_of("ids", [8, 128], DType::U32);
    let label = graph.input_of("label", [8], DType::U32);
    let config = BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..BertConfig::default() };
    let loss = bert(&config).classify(&ids, 2).cross_entropy(&label);
    Adam::new(1e-4).minimise(&loss);
    let bert = session(&context, &graph, &[("loss", &loss)])?;
    print_row(&roofline, "bert base 8x128 step", &bert)?;

    let graph = Graph::new(Mode::Train);
    let label = graph.input_of("label", [64], DType::U32);
    let loss = alexnet(1000).apply(&graph.input("x", [64, 3, 224, 224])).cross_entropy(&label);
    Adam::new(1e-4).minimise(&loss);
    let alexnet = session(&context, &graph, &[("loss", &loss)])?;
    print_row(&roofline, "alexnet 64 step", &alexnet)?;

    for (name, session) in [("lstm step", &lstm), ("bert base step", &bert), ("alexnet step", &alexnet)] {
        print_kernels(&roofline, name, session)?;
    }
    Ok(())
}
