//! The limits of WebGPU are the library's problem: storage buffers of a kernel, workgroups along a dimension, bytes of
//! a binding.

use wgrad::{
    autodiff::gradients,
    kernel::{DeviceClass, Target},
    ops::{
        Attention, AvgPool2d, Cell, Conv2d, ConvTranspose2d, CrossEntropy, Interpolation, MaxPool2d, PadMode,
        Recurrent, RecurrentWeights, Reduction, Unfold,
    },
    plan::PlanOptions,
    prelude::*,
    testing::{context, run_on},
};

const CLASSES: [DeviceClass; 3] = [DeviceClass::Software, DeviceClass::Portable, DeviceClass::Discrete];

/// The test device as one of a class that has no more than every device.
fn baseline(class: DeviceClass) -> Target {
    Target { offset_alignment: context().target().offset_alignment, ..Target::baseline() }.with_class(class)
}

/// Small whole numbers, whose sums are exact.
fn numbers(shape: impl Into<Shape>, step: usize) -> Array {
    let shape = shape.into();
    let numbers: Vec<f32> = (0..shape.numel()).map(|i| ((i * step) % 17) as f32 - 8.0).collect();
    Array::from_f32(shape, &numbers).unwrap()
}

fn run(graph: &Graph, outputs: &[(&str, &Tensor)], inputs: &[(&str, Array)], target: &Target) -> Vec<Vec<f32>> {
    let found = run_on(graph, outputs, inputs, target, PlanOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    found.iter().map(Array::to_f32).collect()
}

const MANY: usize = 20;

/// Twenty inputs of 6×5 numbers, by name.
fn many(graph: &Graph) -> (Vec<Tensor>, Vec<(String, Array)>) {
    let names: Vec<String> = (0..MANY).map(|i| format!("x{i}")).collect();
    let inputs = names.iter().map(|name| graph.input(name, [6, 5])).collect();
    (inputs, names.into_iter().enumerate().map(|(i, name)| (name, numbers([6, 5], i + 1))).collect())
}

#[test]
fn a_sum_of_twenty_tensors_needs_no_more_buffers_than_there_are() {
    for class in CLASSES {
        let graph = Graph::new(Mode::Infer);
        let (inputs, arrays) = many(&graph);
        // A product before, so that the chain also goes behind another kernel; squares, so that gradients need inputs.
        let product = inputs[0].t().matmul(&inputs[1]).sum(&[0], true);
        let y = inputs.iter().fold(product, |sum, x| sum + x.square());
        let found = gradients(&y.square().sum_all(), &inputs);
        let mut outputs = vec![("y", &y)];
        outputs.extend(found.iter().map(|gradient| ("", gradient.as_ref().unwrap())));
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
        let outputs: Vec<(&str, &Tensor)> =
            names.iter().zip(&outputs).map(|(name, (_, tensor))| (name.as_str(), *tensor)).collect();
        let written: Vec<(&str, Array)> = arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        let found = run(&graph, &outputs, &written, &baseline(class));

        let x: Vec<Vec<f32>> = arrays.iter().map(|(_, array)| array.to_f32()).collect();
        for i in 0..30 {
            let column = i % 5;
            let product: f32 =
                (0..6).map(|k| (0..5).map(|row| x[0][k * 5 + row]).sum::<f32>() * x[1][k * 5 + column]).sum();
            let expected = product + x.iter().map(|x| x[i] * x[i]).sum::<f32>();
            assert_eq!(found[0][i], expected, "{class:?}: y at {i}");
            for (j, x) in x.iter().enumerate().skip(2) {
                assert_eq!(found[1 + j][i], 4.0 * expected * x[i], "{class:?}: gradient of input {j} at {i}");
            }
        }
    }
}

#[test]
fn twenty_results_of_one_chain_need_no_more_buffers_than_there_are() {
    for class in CLASSES {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [37]);
        let results: Vec<Tensor> = (0..MANY).map(|i| (&x + i as f32).square()).collect();
        let names: Vec<String> = (0..MANY).map(|i| format!("y{i}")).collect();
        let outputs: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&results).collect();
        let array = numbers([37], 3);
        let found = run(&graph, &outputs, &[("x", array.clone())], &baseline(class));
        for (i, found) in found.iter().enumerate() {
            let expected: Vec<f32> = array.to_f32().iter().map(|x| (x + i as f32).powi(2)).collect();
            assert_eq!(*found, expected, "{class:?}: result {i}");
        }
    }
}

#[test]
fn twenty_tensors_are_joined() {
    for class in CLASSES {
        for dim in [0, 1] {
            let graph = Graph::new(Mode::Infer);
            let (inputs, arrays) = many(&graph);
            let y = Tensor::concat(&inputs.iter().collect::<Vec<_>>(), dim);
            let dx = gradients(&y.square().sum_all(), &inputs[7..8])[0].clone().unwrap();
            let written: Vec<(&str, Array)> =
                arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
            let found = run(&graph, &[("y", &y), ("dx", &dx)], &written, &baseline(class));
            let x: Vec<Vec<f32>> = arrays.iter().map(|(_, array)| array.to_f32()).collect();
            let expected: Vec<f32> = match dim {
                0 => x.concat(),
                _ => (0..6).flat_map(|row| x.iter().flat_map(move |x| x[row * 5..][..5].to_vec())).collect(),
            };
            assert_eq!(found[0], expected, "{class:?} along {dim}");
            assert_eq!(found[1], x[7].iter().map(|x| 2.0 * x).collect::<Vec<_>>(), "{class:?} along {dim}");
        }
    }
}

#[test]
fn more_workgroups_than_one_dimension_has_are_folded() {
    // An odd number of elements, which no kernel takes four at a time; rows that 64 threads share.
    const ROWS: usize = 70_001;
    const COLUMNS: usize = 259;
    let (a, b) = (numbers([ROWS, 1], 5), numbers([1, COLUMNS], 7));
    let (column, row) = (a.to_f32(), b.to_f32());
    let rows = [0, 65_534, 65_535, 65_536, ROWS - 1];
    let sum = |r: usize| row.iter().map(|x| x + column[r]).sum::<f32>();
    let exponentials: f32 = row.iter().map(|x| x.exp()).sum();

    let graph = Graph::new(Mode::Infer);
    let (a_input, b_input) = (graph.input("a", [ROWS, 1]), graph.input("b", [1, COLUMNS]));
    let x = &a_input + &b_input;
    let pair = Tensor::concat(&[&a_input, &a_input], 1).reshape([ROWS, 1, 2]);
    let pick = |y: &Tensor| Tensor::concat(&rows.map(|r| y.slice(0, r..=r)).each_ref(), 0);
    let outputs = [
        ("pointwise", pick(&x)),
        ("sum", x.sum(&[1], false)),
        ("softmax", pick(&x.softmax(1))),
        ("matmul", pair.matmul(&pair.transpose(1, 2))),
    ];
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let target = baseline(class);
        let named: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let steps = graph.plan(&named, &target).unwrap().report().steps;
        assert!(steps.iter().all(|step| step.workgroups.iter().all(|&n| n <= 65_535)), "{class:?}");
        let folded = |kernel: &str| steps.iter().any(|step| step.workgroups[1] > 1 && step.kernel.starts_with(kernel));
        // On a software driver a thread does a whole row, or many vectors.
        let apart = if class.is_software() { &[][..] } else { &["pointwise", "reduce", "softmax"] };
        for kernel in ["matmul"].iter().chain(apart) {
            assert!(folded(kernel), "{class:?}: {kernel}");
        }

        let found = run(&graph, &named, &[("a", a.clone()), ("b", b.clone())], &target);
        for (i, r) in rows.into_iter().enumerate() {
            let at = i * COLUMNS..(i + 1) * COLUMNS;
            let expected: Vec<f32> = row.iter().map(|x| x + column[r]).collect();
            assert_eq!(found[0][at.clone()], expected, "{class:?}: pointwise, row {r}");
            assert_eq!(found[1][r], sum(r), "{class:?}: sum of row {r}");
            let close = |(found, x): (&f32, &f32)| (found - x.exp() / exponentials).abs() <= 1e-6;
            assert!(found[2][at].iter().zip(&row).all(close), "{class:?}: softmax of row {r}");
            assert_eq!(found[3][r], 2.0 * column[r] * column[r], "{class:?}: product {r}");
        }
    }
}

#[test]
fn what_is_larger_than_a_binding_is_bound_in_parts() {
    type Operation = fn(&Tensor, &Tensor) -> Tensor;
    let operations: [(&str, Operation); 5] = [
        ("pointwise", |a, b| (a * 2.0 + b).relu()),
        ("sum of all", |a, _| a.sum_all()),
        ("sum of rows", |a, _| a.sum(&[1], false)),
        ("sum of columns", |a, _| a.sum(&[0], false)),
        ("matmul", |a, b| a.matmul(&b.t())),
    ];
    let [a, b] = [numbers([96, 70], 5), numbers([96, 70], 7)];
    for class in CLASSES {
        let whole = baseline(class);
        // 26,880 bytes each.
        let small = Target { max_binding_bytes: 8192, ..whole.clone() };
        for (name, operation) in operations {
            let results = [&whole, &small].map(|target| {
                let graph = Graph::new(Mode::Infer);
                let y = operation(&graph.input("a", [96, 70]), &graph.input("b", [96, 70]));
                let steps = graph.plan(&[("y", &y)], target).unwrap_or_else(|error| panic!("{name}: {error}"));
                let used = |name: &&str| steps.variables().iter().any(|variable| *variable.name == **name);
                let inputs: Vec<(&str, Array)> =
                    [("a", a.clone()), ("b", b.clone())].into_iter().filter(|(name, _)| used(name)).collect();
                (run(&graph, &[("y", &y)], &inputs, target), steps.report().steps.len())
            });
            let [(expected, once), (found, parts)] = results;
            assert_eq!(found, expected, "{class:?} {name}");
            assert!(parts > once, "{class:?} {name}: {parts} dispatches");
        }
    }
}

/// 0, 1, 2, … in a shape.
fn numbered(x: &Tensor, shape: &[usize]) -> Tensor {
    x.graph().arange(0.0, shape.iter().product::<usize>() as f64, 1.0, DType::F32).reshape(shape)
}

/// An operation over `[192, 16, 16]`, from it and from `[192]` numbers below 16.
type Batched = fn(&Tensor, &Tensor) -> Tensor;

/// Operations whose parts along the first dimension do not depend on each other, and whether that holds for the gradient.
const BATCHED: &[(&str, bool, Batched)] = &[
    ("softmax", true, |x, _| x.softmax(-1)),
    ("log_softmax", true, |x, _| x.log_softmax(1)),
    ("logsumexp", true, |x, _| x.logsumexp(&[1], false)),
    ("layer_norm", true, |x, _| x.layer_norm(None, None, 1e-5)),
    ("layer_norm with weights", true, |x, _| {
        let weight = x.slice(2, 0..1).sum(&[0, 2], false);
        x.layer_norm(&weight, &weight, 1e-5)
    }),
    ("rms_norm", true, |x, _| x.rms_norm(None, 1e-5)),
    ("cross_entropy", true, |x, ids| CrossEntropy::new().reduction(Reduction::None).apply(&x.flatten(1, 2), ids)),
    ("nll_loss", true, |x, ids| x.flatten(1, 2).nll_loss(ids, Reduction::None)),
    ("embedding", true, |x, ids| {
        let sums = x.sum(&[0], false).reshape([1, 256]);
        (numbered(x, &[16, 1]) + sums).embedding(ids)
    }),
    ("gather", true, |x, ids| x.gather(1, &ids.unsqueeze(1).unsqueeze(2).expand([192, 16, 16]))),
    ("index_select", false, |x, ids| x.index_select(2, &ids.slice(0, 0..16))),
    ("scatter_add", true, |x, ids| x.scatter_add(1, &ids.unsqueeze(1).unsqueeze(2).expand([192, 16, 16]), x)),
    ("scatter_add along the first dimension", false, |x, ids| {
        x.scatter_add(0, &ids.unsqueeze(1).unsqueeze(2).expand([192, 16, 16]), &(x * 0.1))
    }),
    ("scatter_add of one row", false, |x, ids| {
        let index = ids.unsqueeze(1).expand([192, 256]).reshape([1, 49_152]);
        let x = x.reshape([1, 49_152]);
        x.scatter_add(1, &index, &(&x * 1e-3))
    }),
    ("batch_norm", true, |x, _| {
        let weight = x.slice(2, 0..1).sum(&[0, 2], false);
        x.batch_norm(None, Some(&weight), Some(&weight))
    }),
    ("batch_norm of rows", true, |x, _| x.reshape([3072, 16]).batch_norm(None, None, None).reshape([192, 16, 16])),
    ("batch_norm far from zero", true, |x, _| (x * 1e-2 + 1000.0).batch_norm(None, None, None)),
    ("batch_norm of large channels", true, |x, _| {
        Tensor::concat(&[x, x], 0).reshape([2, 3, 16_384]).batch_norm(None, None, None)
    }),
    ("batch_norm of one channel", true, |x, _| {
        Tensor::concat(&[x, x], 0).reshape([2, 1, 49_152]).batch_norm(None, None, None)
    }),
    ("group_norm", true, |x, _| x.group_norm(4, None, None, 1e-5)),
    ("group_norm of one example", true, |x, _| x.reshape([1, 192, 256]).group_norm(3, None, None, 1e-5)),
    ("group_norm of one group", true, |x, _| (x + 300.0).reshape([1, 192, 256]).group_norm(1, None, None, 1e-5)),
    ("instance_norm", true, |x, _| x.instance_norm(None, None, 1e-5)),
    ("var of rows", true, |x, _| x.var(&[2], true, false)),
    ("var of columns", true, |x, _| x.var(&[0], true, false)),
    ("var of channels", true, |x, _| x.var(&[0, 2], true, false)),
    ("std of all", true, |x, _| x.std(&[], true, false)),
    ("permute", true, |x, _| x.transpose(1, 2)),
    ("slice", true, |x, _| x.slice(1, 3..15)),
    ("concat", true, |x, _| Tensor::concat(&[x, x], 1)),
    ("flip", true, |x, _| x.flip(&[1])),
    ("roll", true, |x, _| x.roll(&[5], &[2])),
    ("cumsum", true, |x, _| x.cumsum(2)),
    ("cumprod", true, |x, _| x.cumprod(1)),
    ("argmax", false, |x, _| x.argmax(-1)),
    ("argsort", false, |x, _| x.argsort(-1, false)),
    ("sort", true, |x, _| x.sort(-1, true).0),
    ("max_pool2d", true, |x, _| x.unsqueeze(1).max_pool2d(MaxPool2d::new(2))),
    ("avg_pool2d", true, |x, _| x.unsqueeze(1).avg_pool2d(AvgPool2d::new(2))),
    ("interpolate", true, |x, _| x.unsqueeze(1).interpolate(&[20, 20], Interpolation::Nearest)),
    ("pad", true, |x, _| x.pad(&[(1, 2)], PadMode::Reflect)),
    ("unfold", true, |x, _| x.unsqueeze(1).unfold(Unfold::new(2).stride([2, 2]))),
    ("fold", true, |x, _| x.slice(1, 0..4).fold([5, 5], Unfold::new(2))),
    ("conv2d", true, |x, _| x.unsqueeze(1).conv2d(&numbered(x, &[2, 1, 3, 3]), None, Conv2d::default().padding(1))),
    ("conv_transpose2d", true, |x, _| {
        x.unsqueeze(1).conv_transpose2d(&numbered(x, &[1, 1, 2, 2]), None, ConvTranspose2d::default())
    }),
    ("conv2d's weight", false, |x, _| {
        let weight = numbered(x, &[2, 1, 3, 3]);
        let y = x.unsqueeze(1).conv2d(&weight, None, Conv2d::default().padding(1));
        let dw = gradients(&(y * 1e-3).square().sum_all(), &[weight]).remove(0).unwrap();
        dw.reshape([1, 18]).expand([192, 18])
    }),
    ("conv2d of one image", true, |x, _| {
        let weight = numbered(x, &[192, 64, 1, 1]) * 1e-4;
        let y = x.slice(0, 0..64).reshape([1, 64, 4, 64]).conv2d(&weight, None, Conv2d::default());
        y * 1e-2
    }),
    ("attention", true, |x, _| {
        let x = x.reshape([192, 2, 16, 8]);
        x.attention(&(&x * 0.5), &(&x + 1.0), Attention::causal())
    }),
    ("attention with a length for each batch", true, |x, ids| {
        let x = x.reshape([192, 2, 16, 8]);
        x.attention(&(&x * 0.5), &x, Attention::causal().from_end().lengths(ids))
    }),
    ("attention with a mask", true, |x, ids| {
        let mask = x.slice(1, 0..1).reshape([192, 1, 1, 16]).gt(&x.graph().constant(-0.5, DType::F32));
        let x = x.reshape([192, 2, 16, 8]);
        x.attention(&(&x * 0.5), &x, Attention::default().mask(&mask).lengths(ids))
    }),
    ("attention with a bias for each batch", true, |x, _| {
        let bias = x.reshape([192, 1, 16, 16]);
        let x = x.reshape([192, 2, 16, 8]);
        x.attention(&(&x * 0.5), &x, Attention::default().bias(&bias))
    }),
    ("attention with one bias", true, |x, _| {
        let bias = x.slice(0, 0..2).reshape([1, 2, 16, 16]);
        let x = x.reshape([192, 2, 16, 8]);
        x.attention(&(&x * 0.5), &x, Attention::default().bias(&bias)) * 0.1
    }),
    ("attention with shared keys", true, |x, _| {
        let k = x.slice(1, 0..4).reshape([192, 1, 8, 8]);
        x.reshape([192, 4, 8, 8]).attention(&k, &k, Attention::default())
    }),
    ("attention with heads last", true, |x, _| {
        let x = x.reshape([192, 16, 2, 8]);
        x.attention(&(&x * 0.5), &x, Attention::causal().heads_last())
    }),
    ("attention of one batch", true, |x, ids| {
        let bias = x.slice(2, 0..16).reshape([1, 192, 16, 16]);
        let x = x.reshape([1, 192, 16, 16]);
        x.attention(&(&x * 0.5), &x, Attention::default().bias(&bias).lengths(&ids.slice(0, 3..4)))
    }),
    ("lstm", true, |x, ids| recurrent(x, ids, Cell::Lstm, false, false)),
    ("lstm from the end", true, |x, ids| recurrent(x, ids, Cell::Lstm, true, false)),
    ("gru by time", true, |x, ids| recurrent(&x.slice(1, 0..12).reshape([48, 48, 16]), ids, Cell::Gru, false, true)),
    ("lstm by time from the end", true, |x, ids| recurrent(&x.reshape([64, 48, 16]), ids, Cell::Lstm, true, true)),
    ("simple_rnn of one sequence", true, |x, ids| recurrent(&x.reshape([1, 3072, 16]), ids, Cell::Tanh, true, false)),
];

/// A recurrent layer with initial states and lengths below 16, whose weights come from x too.
fn recurrent(x: &Tensor, ids: &Tensor, cell: Cell, reverse: bool, time_major: bool) -> Tensor {
    let sequences = x.size(isize::from(time_major));
    let numbers = (x.sum(&[0, 1], false) * 1e-2).tanh();
    let of = |shape: &[usize]| (numbers.unsqueeze(0) + numbered(x, &[shape[0], 1]) * 1e-3).slice(1, 0..shape[1]);
    let (rows, width) = (cell.gates() * 16, 16);
    let [weight_ih, weight_hh, h0] = [[rows, 16], [rows, width], [sequences, width]].map(|shape| of(&shape) * 0.3);
    let bias = of(&[rows, 1]).reshape([rows]);
    let lengths = ids.slice(0, 0..sequences);
    let initial = vec![h0; cell.states()];
    let weights = RecurrentWeights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias: Some([&bias, &bias]) };
    let lengths = (sequences > 1).then_some(&lengths);
    let result = x.recurrent(cell, &weights, &Recurrent { initial: &initial, lengths, reverse, time_major });
    let last = if time_major { result.h.unsqueeze(0) } else { result.h.unsqueeze(1) };
    result.output + last * 0.1
}

/// The same where the first dimension, or the first two, are one.
const OF_ONE: &[(&str, bool, Batched)] = &[
    ("softmax", true, |x, _| x.softmax(-1)),
    ("layer_norm", true, |x, _| x.layer_norm(None, None, 1e-5)),
    ("batch_norm", true, |x, _| x.batch_norm(None, None, None)),
    ("group_norm", true, |x, _| x.group_norm(3, None, None, 1e-5)),
    ("instance_norm", true, |x, _| x.instance_norm(None, None, 1e-5)),
    ("max_pool2d", true, |x, _| x.max_pool2d(MaxPool2d::new(2))),
    ("avg_pool2d", true, |x, _| x.avg_pool2d(AvgPool2d::new(2))),
    ("interpolate", true, |x, _| x.interpolate(&[20, 20], Interpolation::Linear { align_corners: false })),
    ("pad", true, |x, _| x.pad(&[(1, 2)], PadMode::Constant(0.0))),
    ("permute", true, |x, _| x.permute(&[0, 2, 3, 1])),
    ("permute of odd sizes", true, |x, _| x.slice(2, 0..15).slice(1, 0..191).permute(&[0, 3, 1, 2])),
    ("slice of channels", true, |x, _| x.slice(1, 7..189)),
    ("concat of channels", true, |x, _| Tensor::concat(&[x, &x.slice(1, 3..4), &(x * 2.0)], 1)),
    ("concat of odd sizes", true, |x, _| {
        let x = x.reshape([1, 49_152]);
        Tensor::concat(&[&x.slice(1, 0..5), &x, &x.slice(1, 1..48_001)], 1)
    }),
    ("split", true, |x, _| &x.slice(1, 0..90) + &x.slice(1, 90..180)),
    ("flip", true, |x, _| x.flip(&[2])),
    ("cumsum", true, |x, _| x.cumsum(2)),
    ("sum", true, |x, _| x.sum(&[1], true)),
    ("mean of planes", true, |x, _| x.mean(&[2, 3], true)),
    ("sort", true, |x, _| x.sort(-1, true).0),
    ("gather", true, |x, ids| x.gather(2, &ids.reshape([1, 192, 1, 1]).expand([1, 192, 16, 16]))),
    ("pointwise", true, |x, _| (x * 2.0).relu()),
];

#[test]
fn batches_larger_than_a_binding_are_computed_in_parts() {
    in_parts(BATCHED, |x| x.clone());
}

#[test]
fn examples_larger_than_a_binding_are_computed_in_parts() {
    in_parts(OF_ONE, |x| x.unsqueeze(0));
}

/// Compares operations on a value with the same in parts, in every class.
fn in_parts(cases: &[(&str, bool, Batched)], view: fn(&Tensor) -> Tensor) {
    let ids: Vec<u32> = (0..192).map(|i| i * 7 % 16).collect();
    let numbers: Vec<f32> = (0..192 * 256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    let inputs =
        [("x", Array::from_f32([192, 16, 16], &numbers).unwrap()), ("ids", Array::from_u32([192], &ids).unwrap())];
    for (class, (name, differentiable, operation)) in
        CLASSES.into_iter().flat_map(|class| cases.iter().map(move |case| (class, *case)))
    {
        let whole = baseline(class);
        // x has 196,608 bytes.
        let small = Target { max_binding_bytes: 1 << 17, ..whole.clone() };
        let results = [&whole, &small].map(|target| {
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [192, 16, 16]);
            let y = operation(&view(&x), &graph.input_of("ids", [192], DType::U32));
            let mut outputs = vec![("y", y.clone())];
            if differentiable {
                outputs.push(("dx", gradients(&y.square().sum_all(), &[x]).remove(0).unwrap()));
            }
            let outputs: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
            let plan = graph.plan(&outputs, target).unwrap_or_else(|error| panic!("{class:?} {name}: {error}"));
            let used = |name: &str| plan.variables().iter().any(|variable| *variable.name == *name);
            let inputs: Vec<(&str, Array)> = inputs.iter().filter(|(name, _)| used(name)).cloned().collect();
            (run(&graph, &outputs, &inputs, target), plan.report().steps.len())
        });
        let [(expected, once), (found, parts)] = results;
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.len(), expected.len(), "{class:?} {name}");
            let near = |&(a, b): &(&f32, &f32)| a == b || (a - b).abs() <= 2e-6 * (1.0 + b.abs());
            let wrong = found.iter().zip(expected).find(|pair| !near(pair));
            assert!(wrong.is_none(), "{class:?} {name}: {wrong:?}");
        }
        assert_ne!(parts, once, "{class:?} {name}: as many dispatches");
    }
}

#[test]
fn dropout_of_weights_does_not_depend_on_parts() {
    let numbers: Vec<f32> = (0..192 * 256).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    let inputs = [("x", Array::from_f32([192, 2, 16, 8], &numbers).unwrap())];
    for class in CLASSES {
        for shape in [[192, 2, 16, 8], [1, 384, 16, 8]] {
            let whole = baseline(class);
            let small = Target { max_binding_bytes: 1 << 17, ..whole.clone() };
            let [expected, found] = [&whole, &small].map(|target| {
                let graph = Graph::new(Mode::Train);
                let x = graph.input("x", [192, 2, 16, 8]);
                let of_one = x.reshape(shape);
                let y = of_one.attention(&(&of_one * 0.5), &of_one, Attention::causal().dropout(0.4));
                let dx = gradients(&y.square().sum_all(), &[x]).remove(0).unwrap();
                run(&graph, &[("y", &y), ("dx", &dx)], &inputs, target)
            });
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!(
                    (found - expected).abs() <= 4e-6 * (1.0 + expected.abs()),
                    "{class:?}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_cache_larger_than_a_binding_takes_rows_in_parts() {
    let numbers: Vec<f32> = (0..192 * 2 * 3 * 8).map(|i| i as f32).collect();
    let at: Vec<u32> = (0..192).map(|i| i * 5 % 16).collect();
    let inputs =
        [("x", Array::from_f32([192, 2, 3, 8], &numbers).unwrap()), ("at", Array::from_u32([192], &at).unwrap())];
    for class in CLASSES {
        let whole = baseline(class);
        // The cache has 196,608 bytes.
        let small = Target { max_binding_bytes: 1 << 17, ..whole.clone() };
        let [expected, found] = [&whole, &small].map(|target| {
            let graph = Graph::new(Mode::Infer);
            let cache = graph.state("cache", TensorDesc::new([192, 2, 16, 8], DType::F32), Init::ones());
            let cache =
                graph.append_rows(&cache, &graph.input("x", [192, 2, 3, 8]), &graph.input_of("at", [192], DType::U32));
            run(&graph, &[("y", &(cache * 1.0))], &inputs, target)
        });
        assert_eq!(found, expected, "{class:?}");
    }
}
