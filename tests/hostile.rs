//! Large, equal, tiny, infinite and undefined numbers: values and gradients are PyTorch's, in every variant.

use crate::fixture::Fixture;
use wgrad::{
    autodiff::gradients,
    kernel::Target,
    ops::{BatchNorm, CrossEntropy, MaxPool2d, Reduction},
    plan::PlanOptions,
    prelude::*,
    testing::{classes, context, run_on},
};

/// Every kind of device the test driver can stand for.
fn targets() -> Vec<Target> {
    let device = context().target();
    let with = classes().iter().map(|&class| device.with_class(class));
    with.flat_map(|target| [Target { subgroups: false, ..target.clone() }, target]).collect()
}

/// Numbers i ↦ f(i) as a tensor of the graph.
fn numbers(graph: &Graph, shape: &[usize], f: impl Fn(usize) -> f32, inputs: &mut Vec<(String, Array)>) -> Tensor {
    let count: usize = shape.iter().product();
    let array = Array::from_f32(shape, &(0..count).map(f).collect::<Vec<f32>>()).unwrap();
    let name = format!("constant{}", inputs.len());
    let tensor = graph.input(&name, shape);
    inputs.push((name, array));
    tensor
}

/// The operation a row of the fixture's table names, of `[rows, width]`.
fn build(op: &str, x: &Tensor, inputs: &mut Vec<(String, Array)>) -> Tensor {
    let graph = x.graph();
    let [rows, width] = [x.size(0), x.size(1)];
    let weight_of = |i: usize| 1.0 + (i % 3) as f32 * 0.5;
    let bias_of = |i: usize| (i % 2) as f32 * 0.25;
    match op {
        "exp" => x.exp(),
        "log" => x.log(),
        "sqrt" => x.sqrt(),
        "rsqrt" => x.rsqrt(),
        "abs" => x.abs(),
        "relu" => x.relu(),
        "gelu" => x.gelu(),
        "gelu_tanh" => x.gelu_tanh(),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "silu" => x.silu(),
        "softplus" => x.softplus(),
        "recip" => x.recip(),
        "square" => x.square(),
        "sign" => x.sign(),
        "clamp" => x.clamp(-1.0, 1.0),
        "cube" => x.powf(3.0),
        "maximum" | "minimum" | "div" => {
            let columns: Vec<Tensor> = (0..width).rev().map(|i| x.slice(1, i..=i)).collect();
            let flipped = Tensor::concat(&columns.iter().collect::<Vec<_>>(), 1).detach();
            match op {
                "maximum" => x.maximum(&flipped),
                "minimum" => x.minimum(&flipped),
                _ => x / flipped,
            }
        }
        "sum" => x.sum(&[-1], false),
        "mean" => x.mean(&[-1], false),
        "max" => x.max(&[-1], false),
        "min" => x.min(&[-1], false),
        "var" => x.var(&[-1], true, false),
        "std" => x.std(&[-1], true, false),
        "prod" => x.prod(&[-1], false),
        "logsumexp" => x.logsumexp(&[-1], false),
        "norm1" => x.norm(1.0, &[-1], false),
        "norm2" => x.norm(2.0, &[-1], false),
        "norm_inf" => x.norm(f32::INFINITY, &[-1], false),
        "normalize" => x.normalize(2.0, -1, 1e-12),
        "softmax" => x.softmax(-1),
        "log_softmax" => x.log_softmax(-1),
        "cross_entropy" => {
            let name = format!("target{}", inputs.len());
            let target = graph.input_of(&name, [rows], DType::U32);
            let classes: Vec<u32> = (0..rows).map(|i| (i % width) as u32).collect();
            inputs.push((name, Array::from_u32([rows], &classes).unwrap()));
            CrossEntropy::new().reduction(Reduction::None).apply(x, &target)
        }
        "layer_norm" => {
            let weight = numbers(graph, &[width], weight_of, inputs);
            x.layer_norm(&weight, &numbers(graph, &[width], bias_of, inputs), 1e-5)
        }
        "rms_norm" => x.rms_norm(&numbers(graph, &[width], weight_of, inputs), 1e-5),
        "group_norm" => x.reshape([rows, 1, width]).group_norm(1, None, None, 1e-5).reshape([rows, width]),
        "batch_norm" | "instance_norm" => {
            let weight = numbers(graph, &[rows], weight_of, inputs);
            let bias = numbers(graph, &[rows], bias_of, inputs);
            let x = x.reshape([1, rows, width]);
            let y = if op == "batch_norm" {
                BatchNorm::new().training(true).apply(&x, None, Some(&weight), Some(&bias))
            } else {
                x.instance_norm(Some(&weight), Some(&bias), 1e-5)
            };
            y.reshape([rows, width])
        }
        "max_pool" => {
            let options =
                MaxPool2d { kernel: [1, 3], stride: Some([1, 2]), padding: [0, 0], dilation: [1, 1], ceil_mode: false };
            let y = x.reshape([rows, 1, 1, width]).max_pool2d(options);
            let across = y.size(-1);
            y.reshape([rows, across])
        }
        "matmul" => x.matmul(&numbers(graph, &[width, 3], |i| (i % 5) as f32 - 2.0, inputs)),
        op => panic!("no operation {op}"),
    }
}

/// Whether a number is one of those expected: equal, both NaN, within the tolerance, or both below the
/// smallest normal number, which a driver may take for 0.
fn agrees(found: f32, expected: &[f32], tolerance: f32, largest: f32) -> bool {
    expected.iter().any(|&expected| {
        found == expected
            || (found.is_nan() && expected.is_nan())
            || (found - expected).abs() <= tolerance * largest.max(expected.abs())
            || (found.abs() <= f32::MIN_POSITIVE && expected.abs() <= f32::MIN_POSITIVE)
    })
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let fixture = Fixture::open("hostile");
    let mut wrong = Vec::new();
    for target in targets() {
        let graph = Graph::new(Mode::Infer);
        let (mut outputs, mut inputs) = (Vec::new(), Vec::new());
        for case in &fixture.table {
            let [name, op, input] = ["name", "op", "input"].map(|key| case[key].as_str().unwrap());
            let array = fixture.get(input);
            let x = graph.input(input, array.shape());
            if !inputs.iter().any(|(known, _)| known == input) {
                inputs.push((input.to_owned(), array.clone()));
            }
            let y = build(op, &x, &mut inputs);
            let shape = y.shape();
            let pattern = [1.0, -2.0, 3.0, -1.0, 2.0, -3.0, 1.0];
            let weights = numbers(&graph, &shape, |i| pattern[i % 7], &mut inputs);
            match gradients(&y.mul(&weights).sum_all(), &[x]).remove(0) {
                Some(dx) => outputs.push((format!("{name}.dx"), dx)),
                None => assert!(fixture.get(&format!("{name}.dx")).to_f32().iter().all(|dx| *dx == 0.0), "{name}"),
            }
            outputs.push((format!("{name}.y"), y));
        }
        let named: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let written: Vec<(&str, Array)> = inputs.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        let plan = graph.plan(&named, &target).unwrap();
        let used: Vec<String> = plan.variables().iter().map(|variable| variable.name.to_string()).collect();
        let written: Vec<(&str, Array)> =
            written.into_iter().filter(|(name, _)| used.iter().any(|used| used == name)).collect();
        let found = run_on(&graph, &named, &written, &target, PlanOptions::default()).unwrap();
        for ((name, _), found) in named.iter().zip(&found) {
            let case =
                fixture.table.iter().find(|case| name.starts_with(&format!("{}.", case["name"].as_str().unwrap())));
            let [rows, skipped] = ["rows", "skipped"].map(|key| case.unwrap()[key].as_array().unwrap());
            let exact = fixture.get(name).to_f32();
            let flushed = fixture.find(&format!("{name}0")).map_or_else(|| exact.clone(), Array::to_f32);
            let found = found.to_f32();
            assert_eq!(found.len(), exact.len(), "{name}");
            let across = found.len() / rows.len();
            for (r, row) in rows.iter().enumerate().filter(|(_, row)| !skipped.contains(row)) {
                let range = r * across..(r + 1) * across;
                let largest =
                    exact[range.clone()].iter().filter(|x| x.is_finite()).fold(0.0, |m: f32, x| m.max(x.abs()));
                for i in range {
                    if !agrees(found[i], &[exact[i], flushed[i]], 2e-5, largest) {
                        wrong.push(format!(
                            "{:?}{}: {name}, row {row}, element {}: {}, PyTorch has {}",
                            target.class,
                            if target.subgroups { " with subgroups" } else { "" },
                            i % across,
                            found[i],
                            exact[i],
                        ));
                        break;
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
