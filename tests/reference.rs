//! Operations against PyTorch: values and gradients over a spread of attributes, and what becomes of
//! NaN, infinities and signed zeros.

use crate::fixture::{Fixture, assert_close};
use serde_json::Value;
use wgrad::{
    autodiff::gradients,
    ops::{Conv2d, CrossEntropy, MaxPool2d, Reduction},
    plan::PlanOptions,
    prelude::*,
    testing::{classes, context, run_on},
};

fn pair(value: &Value) -> [usize; 2] {
    let number = |i: usize| value[i].as_u64().unwrap() as usize;
    [number(0), number(1)]
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

/// The operation of a case of `reference`, and the inputs it has a gradient of.
fn build(graph: &Graph, case: &Value, fixture: &Fixture) -> (Tensor, Vec<(String, Tensor)>) {
    let name = case["name"].as_str().unwrap();
    let input = |key: &str| {
        let array = fixture.find(&format!("{name}.{key}"))?;
        Some(graph.input_of(key, array.shape(), array.desc().dtype))
    };
    let get = |key: &str| input(key).unwrap_or_else(|| panic!("{name} has no {key}"));
    let dim = || case["dim"].as_i64().unwrap() as isize;
    let y = match case["op"].as_str().unwrap() {
        "conv2d" => {
            let options = Conv2d {
                stride: pair(&case["stride"]),
                padding: pair(&case["padding"]).into(),
                dilation: pair(&case["dilation"]),
                groups: case["groups"].as_u64().unwrap() as usize,
            };
            get("x").conv2d(&get("weight"), input("bias").as_ref(), options)
        }
        "max_pool2d" => get("x").max_pool2d(MaxPool2d {
            kernel: pair(&case["kernel"]),
            stride: Some(pair(&case["stride"])),
            padding: pair(&case["padding"]),
            dilation: pair(&case["dilation"]),
            ceil_mode: false,
        }),
        "layer_norm" => get("x").layer_norm(&get("weight"), &get("bias"), number(&case["eps"])),
        "softmax" => get("x").softmax(dim()),
        "log_softmax" => get("x").log_softmax(dim()),
        "cross_entropy" => {
            let reduction = match case["reduction"].as_str().unwrap() {
                "mean" => Reduction::Mean,
                "sum" => Reduction::Sum,
                _ => Reduction::None,
            };
            let options = CrossEntropy::new()
                .reduction(reduction)
                .label_smoothing(number(&case["label_smoothing"]))
                .ignore_index(case["ignore_index"].as_i64().unwrap());
            options.apply(&get("x"), &get("target"))
        }
        "embedding" => get("weight").embedding(&get("ids")),
        op => panic!("no operation {op}"),
    };
    let floats = ["x", "weight", "bias"].into_iter().filter_map(|key| Some((key.to_owned(), input(key)?)));
    (y, floats.collect())
}

#[test]
fn values_and_gradients_equal_pytorchs() {
    compare("reference", build);
}

/// Writes a case of a fixture: what it computes, and the inputs it has a gradient of, by name.
pub type Build = fn(&Graph, &Value, &Fixture) -> (Tensor, Vec<(String, Tensor)>);

/// Compares the operations of a fixture, values and gradients, on both classes of devices.
pub fn compare(fixture: &str, build: Build) {
    let fixture = Fixture::open(fixture);
    for (case, class) in fixture.table.iter().flat_map(|case| classes().iter().map(move |&class| (case, class))) {
        let name = case["name"].as_str().unwrap();
        let stored = |key: &str| fixture.get(&format!("{name}.{key}"));
        let graph = Graph::new(Mode::Infer);
        let (y, inputs) = build(&graph, case, &fixture);
        let dy = graph.input("dy", y.shape());
        let of: Vec<Tensor> = inputs.iter().map(|(_, tensor)| tensor.clone()).collect();
        let gradients: Vec<Tensor> = gradients(&(&y * &dy).sum_all(), &of).into_iter().map(Option::unwrap).collect();

        let names: Vec<String> = inputs.iter().map(|(key, _)| format!("d{key}")).collect();
        let mut outputs = vec![("y", &y)];
        outputs.extend(names.iter().map(String::as_str).zip(&gradients));
        let variables = graph.variables();
        let arrays: Vec<(&str, Array)> = variables.iter().map(|v| (&*v.name, stored(&v.name).clone())).collect();
        let target = context().target().with_class(class);
        let plan = graph.plan(&outputs, &target).unwrap();
        let used = |name: &str| plan.variables().iter().any(|v| &*v.name == name);
        let arrays: Vec<(&str, Array)> = arrays.into_iter().filter(|(name, _)| used(name)).collect();
        let results = run_on(&graph, &outputs, &arrays, &target, PlanOptions::default());
        let results = results.unwrap_or_else(|error| panic!("{name} {class:?}: {error}"));
        for ((key, _), result) in outputs.iter().zip(&results) {
            assert_eq!(result.shape(), stored(key).shape(), "{name} {class:?}: shape of {key}");
            assert_close(&format!("{name} {class:?}: {key}"), &result.to_f32(), &stored(key).to_f32(), 2e-5);
        }
    }
}

/// The operation of a case of `semantics`.
fn build_special(case: &Value, x: &[Tensor]) -> Tensor {
    let dim = || case["dim"].as_i64().unwrap() as isize;
    match case["op"].as_str().unwrap() {
        "neg" => -&x[0],
        "exp" => x[0].exp(),
        "log" => x[0].log(),
        "sqrt" => x[0].sqrt(),
        "rsqrt" => x[0].rsqrt(),
        "abs" => x[0].abs(),
        "recip" => x[0].recip(),
        "sign" => x[0].sign(),
        "relu" => x[0].relu(),
        "gelu" => x[0].gelu(),
        "gelu_tanh" => x[0].gelu_tanh(),
        "sigmoid" => x[0].sigmoid(),
        "tanh" => x[0].tanh(),
        "silu" => x[0].silu(),
        "softplus" => x[0].softplus(),
        "erf" => x[0].erf(),
        "square" => x[0].square(),
        "clamp" => x[0].clamp(number(&case["min"]), number(&case["max"])),
        "add" => &x[0] + &x[1],
        "sub" => &x[0] - &x[1],
        "mul" => &x[0] * &x[1],
        "div" => &x[0] / &x[1],
        "pow" => x[0].pow(&x[1]),
        "powf" => x[0].powf(number(&case["exponent"])),
        "maximum" => x[0].maximum(&x[1]),
        "minimum" => x[0].minimum(&x[1]),
        "eq" => x[0].eq(&x[1]),
        "ne" => x[0].ne(&x[1]),
        "lt" => x[0].lt(&x[1]),
        "le" => x[0].le(&x[1]),
        "gt" => x[0].gt(&x[1]),
        "ge" => x[0].ge(&x[1]),
        "sum" => x[0].sum(&[dim()], false),
        "mean" => x[0].mean(&[dim()], false),
        "max" => x[0].max(&[dim()], false),
        "min" => x[0].min(&[dim()], false),
        "argmax" => x[0].argmax(dim()),
        "softmax" => x[0].softmax(dim()),
        "log_softmax" => x[0].log_softmax(dim()),
        "layer_norm" => x[0].layer_norm(&x[1], &x[2], 1e-5),
        "cross_entropy" => CrossEntropy::new().reduction(Reduction::None).apply(&x[0], &x[1]),
        "max_pool2d" => {
            let [kernel, stride, padding] =
                ["kernel", "stride", "padding"].map(|key| case[key].as_u64().unwrap() as usize);
            let options = MaxPool2d { stride: Some([stride; 2]), padding: [padding; 2], ..MaxPool2d::new(kernel) };
            x[0].max_pool2d(options)
        }
        "matmul" => x[0].matmul(&x[1]),
        op => panic!("no operation {op}"),
    }
}

#[test]
fn special_values_are_pytorchs() {
    let fixture = Fixture::open("semantics");
    let mut wrong = Vec::new();
    for (case, class) in fixture.table.iter().flat_map(|case| classes().iter().map(move |&class| (case, class))) {
        let name = case["name"].as_str().unwrap();
        let graph = Graph::new(Mode::Infer);
        let keys: Vec<String> = (0..case["inputs"].as_u64().unwrap()).map(|k| format!("x{k}")).collect();
        let stored = |key: &str| fixture.get(&format!("{name}.{key}"));
        let x: Vec<Tensor> =
            keys.iter().map(|key| graph.input_of(key, stored(key).shape(), stored(key).desc().dtype)).collect();
        let y = build_special(case, &x);
        let arrays: Vec<(&str, Array)> = keys.iter().map(|key| (key.as_str(), stored(key).clone())).collect();
        let target = context().target().with_class(class);
        let found = run_on(&graph, &[("y", &y)], &arrays, &target, PlanOptions::default());
        let found = found.unwrap_or_else(|error| panic!("{name} {class:?}: {error}"))[0].to_f32();
        for (i, (&found, expected)) in found.iter().zip(stored("y").to_f32()).enumerate() {
            if !same(found, expected) {
                let at: Vec<String> = arrays.iter().map(|(_, array)| element(array, i, &fixture, name)).collect();
                wrong.push(format!(
                    "{name} {class:?}: element {i} ({}) is {found}, PyTorch has {expected}",
                    at.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The input element with the index of an output element, where they have the same shape.
fn element(input: &Array, i: usize, fixture: &Fixture, name: &str) -> String {
    let same = input.shape() == fixture.get(&format!("{name}.y")).shape();
    if same { input.to_f32()[i].to_string() } else { input.desc().to_string() }
}

/// The same special value, or numbers close to each other; the smallest may be taken for 0, as drivers do.
fn same(found: f32, expected: f32) -> bool {
    let near = (found - expected).abs() <= 1e-5 * expected.abs() + f32::MIN_POSITIVE;
    found == expected || (found.is_nan() && expected.is_nan()) || near
}
