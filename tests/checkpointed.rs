//! Segments that are computed again for their gradients: the same bits in less memory.

use crate::plan::grow;
use proptest::prelude::*;
use wgrad::{
    autodiff::gradients,
    chain,
    graph::Role,
    kernel::Target,
    nn::*,
    optim::{AdamW, Schedule},
    plan::{PlanOptions, StepReport},
    prelude::*,
    testing::{context, run, run_on},
};

/// A layer, checkpointed or as it is.
fn choose(checkpointed: bool, layer: impl Layer + 'static) -> Box<dyn Layer> {
    if checkpointed { Box::new(layer.checkpointed()) } else { Box::new(layer) }
}

fn transformer(checkpointed: bool, [blocks, heads, batch, length, width]: [usize; 5]) -> (Graph, Tensor) {
    let graph = Graph::new(Mode::Train);
    let block = encoder_layer(heads, 4 * width);
    let net = stack("layers", blocks, choose(checkpointed, block));
    let y = net.apply(&graph.input("x", [batch, length, width]));
    let loss = y.square().mean_all();
    AdamW::new(1e-3).schedule(Schedule::step(2, 0.5)).minimise(&loss);
    (graph, loss)
}

/// The loss of three steps, and every weight and piece of state after them.
fn train(graph: &Graph, loss: &Tensor, x: &Array) -> Vec<(String, Vec<u8>)> {
    let plan = graph.plan(&[("loss", loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 7).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    session.write("x", x).unwrap();
    let mut found = Vec::new();
    for step in 0..3 {
        session.run().unwrap();
        found.push((format!("loss {step}"), session.read_blocking("loss").unwrap().bytes().to_vec()));
    }
    for variable in weights.variables().iter().filter(|variable| variable.role != Role::Input) {
        found.push((variable.name.to_string(), weights.read(&variable.name).unwrap().bytes().to_vec()));
    }
    found
}

fn numbers<const N: usize>(shape: [usize; N]) -> Array {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Array::from_f32(shape, &numbers).unwrap()
}

/// The same bits; on a GPU nearly the same numbers, as it rounds products and sums once where they are fused.
fn alike(plain: &[u8], again: &[u8]) -> bool {
    let numbers = |bytes: &[u8]| -> Vec<f32> { bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect() };
    let near = |(a, b): (f32, f32)| (a - b).abs() <= 1e-4 * a.abs().max(1.0);
    plain == again
        || !context().target().class.is_software()
            && plain.len() == again.len()
            && numbers(plain).into_iter().zip(numbers(again)).all(near)
}

#[track_caller]
fn assert_same_bits(plain: Vec<(String, Vec<u8>)>, again: Vec<(String, Vec<u8>)>) {
    assert_eq!(plain.len(), again.len());
    for ((name, plain), (_, again)) in plain.iter().zip(&again) {
        assert!(alike(plain, again), "{name} differs");
    }
}

#[test]
fn a_transformer_with_dropout_trains_to_the_same_bits() {
    let found = [false, true].map(|checkpointed| {
        let (graph, loss) = transformer(checkpointed, [3, 2, 2, 9, 16]);
        train(&graph, &loss, &numbers([2, 9, 16]))
    });
    let [plain, again] = found;
    assert_same_bits(plain, again);
}

#[test]
fn running_statistics_move_once_and_masks_are_the_same() {
    let found = [false, true].map(|checkpointed| {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [4, 2, 6, 6]);
        let part = chain![conv(4, 3).pad(1), batch_norm(), relu(), dropout(0.3), max_pool(2, 2)];
        let net = chain![choose(checkpointed, part), flatten(), choose(checkpointed, chain![linear(5), gelu()])];
        let loss = net.apply(&x).square().mean_all();
        AdamW::new(1e-2).minimise(&loss);
        train(&graph, &loss, &numbers([4, 2, 6, 6]))
    });
    let [plain, again] = found;
    assert!(plain.iter().any(|(name, _)| name.contains("running_mean")), "{plain:?}");
    assert_same_bits(plain, again);
}

#[test]
fn twelve_blocks_take_a_third_of_the_memory_for_activations() {
    let memory = |checkpointed| {
        let (graph, loss) = transformer(checkpointed, [12, 4, 4, 128, 128]);
        graph.plan(&[("loss", &loss)], &Target::baseline()).unwrap().memory()
    };
    let (plain, again) = (memory(false), memory(true));
    assert_eq!(plain.parameters, again.parameters);
    let ratio = plain.activations as f64 / again.activations as f64;
    println!("activations: {} kept, {} checkpointed, {ratio:.2} times", plain.activations, again.activations);
    assert!(ratio > 3.0, "{ratio}: {plain} {again}");
}

#[test]
fn what_is_computed_again_runs_after_the_forward_pass() {
    let (graph, loss) = transformer(true, [3, 2, 2, 9, 16]);
    let plan = graph.plan(&[("loss", &loss)], &Target::baseline()).unwrap();
    let steps = plan.report().steps;
    let attention = |step: &StepReport| step.ops.split('+').any(|op| op == "attention");
    let forward: Vec<usize> = (0..steps.len()).filter(|&i| attention(&steps[i])).collect();
    assert_eq!(forward.len(), 6, "each attention runs twice:\n{}", plan.report());
    let layers: Vec<&str> = forward.iter().map(|&i| &steps[i].layer[..8]).collect();
    assert_eq!(layers, ["layers.0", "layers.1", "layers.2", "layers.2", "layers.1", "layers.0"]);
}

#[test]
fn segments_may_be_nested_and_their_insides_read_from_outside() {
    let found = [false, true].map(|checkpointed| {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [3, 4]);
        let segment = |body: &dyn Fn() -> Tensor| if checkpointed { graph.checkpointed(body) } else { body() };
        let mut inside = x.clone();
        let y = {
            let inner = |x: &Tensor| segment(&|| (x.tanh() * 2.0).sigmoid());
            let whole = segment(&|| inner(&x.exp()).matmul(&inner(&x).transpose(0, 1)).softmax(-1));
            inside = segment(&|| (inside.sin() + 1.0).square());
            whole
        };
        let loss = y.matmul(&inside).square().sum_all() + inside.mean_all();
        let dx = gradients(&loss, std::slice::from_ref(&x)).remove(0).unwrap();
        // The gradient of a gradient goes through the copy, which adds the same terms in another order.
        let ddx = gradients(&dx.square().sum_all(), &[x]).remove(0).unwrap();
        let outputs = [("loss", &loss), ("dx", &dx), ("ddx", &ddx)];
        run(&graph, &outputs, &[("x", numbers([3, 4]))]).unwrap()
    });
    let [plain, again] = found;
    assert!(alike(plain[0].bytes(), again[0].bytes()), "the loss differs");
    assert!(alike(plain[1].bytes(), again[1].bytes()), "the gradient differs");
    for (plain, again) in plain[2].to_f32().into_iter().zip(again[2].to_f32()) {
        assert!((plain - again).abs() <= 1e-5 * plain.abs().max(1.0), "{plain} {again}");
    }
}

#[test]
fn without_gradients_nothing_changes() {
    let report = |checkpointed| {
        let graph = Graph::new(Mode::Infer);
        let y = choose(checkpointed, encoder_layer(2, 32)).apply(&graph.input("x", [2, 5, 8]));
        graph.plan(&[("y", &y)], &Target::baseline()).unwrap().report().to_string()
    };
    assert_eq!(report(true), report(false));
}

#[test]
fn a_segment_that_changes_state_it_reads_keeps_what_it_read() {
    let found = [false, true].map(|checkpointed| {
        let graph = Graph::new(Mode::Train);
        let (x, w) = (graph.input("x", [4]), graph.parameter("w", [4], Init::ones()));
        let count = graph.state("count", TensorDesc::new([], DType::F32), Init::zeros());
        let body = || {
            let scaled = (&x * &w + &count).tanh();
            graph.assign(&count, &(&count + 1.0));
            scaled.square()
        };
        let loss = if checkpointed { graph.checkpointed(body) } else { body() }.sum_all();
        AdamW::new(0.1).minimise(&loss);
        train(&graph, &loss, &numbers([4]))
    });
    let [plain, again] = found;
    assert_same_bits(plain, again);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Random operations in random segments; each may read any value before it, also out of another segment.
    #[test]
    fn random_segments_give_the_same_bits(
        segments in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((0usize..12, 0usize..100, 0usize..100), 1..5)), 1..6)
    ) {
        let run = |checkpointed: bool| {
            let graph = Graph::new(Mode::Train);
            let x = graph.parameter("x", [3, 4], Init::normal(1.0));
            let mut values = vec![x.clone(), graph.parameter("row", [4], Init::normal(0.5))];
            for (chosen, choices) in &segments {
                let values = &mut values;
                let mut body = || choices.iter().for_each(|&(choice, a, b)| grow(values, choice, a, b));
                if checkpointed && *chosen { graph.checkpointed(body) } else { body() }
            }
            let loss = values.iter().fold(None, |sum: Option<Tensor>, value| {
                let term = value.tanh().mean_all();
                Some(sum.map_or_else(|| term.clone(), |sum| sum + &term))
            });
            let loss = loss.unwrap();
            let mut outputs = vec![("loss", loss.clone())];
            let found = gradients(&loss, &values[..2]);
            outputs.extend(["dx", "drow"].into_iter().zip(found).filter_map(|(name, dx)| Some((name, dx?))));
            let names: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
            // Drivers may round what is fused in another way otherwise: compare the same kernels.
            let options = PlanOptions { fuse: false, ..PlanOptions::default() };
            let arrays = run_on(&graph, &names, &[], context().target(), options).unwrap();
            let shown = format!("{graph}");
            (arrays.iter().map(|array| array.bytes().to_vec()).collect::<Vec<_>>(), shown)
        };
        let ((plain, _), (again, graph)) = (run(false), run(true));
        prop_assert!(plain.iter().zip(&again).all(|(plain, again)| alike(plain, again)), "{}", graph);
    }
}
