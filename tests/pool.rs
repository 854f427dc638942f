//! Pooling, padding, unfolding and interpolation against PyTorch: values, places and gradients.

use crate::fixture::{Fixture, assert_close};
use serde_json::Value;
use wgrad::{
    autodiff::gradients,
    kernel::DeviceClass,
    ops::{AvgPool, Interpolation, MaxPool, PadMode, Unfold},
    plan::PlanOptions,
    prelude::*,
    testing::{context, run_on},
};

fn list<T>(case: &Value, key: &str, of: fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    Some(case.get(key)?.as_array()?.iter().map(|value| of(value).unwrap()).collect())
}

fn sizes(case: &Value, key: &str) -> Vec<usize> {
    list(case, key, Value::as_u64).unwrap().into_iter().map(|n| n as usize).collect()
}

fn all<const D: usize>(case: &Value, key: &str) -> [usize; D] {
    sizes(case, key).try_into().unwrap()
}

fn is(case: &Value, key: &str) -> bool {
    case[key].as_bool().unwrap()
}

fn max_pool<const D: usize>(case: &Value) -> MaxPool<D> {
    let options = MaxPool { kernel: all(case, "kernel_size"), ..MaxPool::new(1) };
    let options = options.stride(all(case, "stride")).padding(all(case, "padding")).dilation(all(case, "dilation"));
    options.ceil_mode(is(case, "ceil_mode"))
}

fn avg_pool<const D: usize>(case: &Value) -> AvgPool<D> {
    let options = AvgPool { kernel: all(case, "kernel_size"), ..AvgPool::new(1) };
    let options = options.stride(all(case, "stride")).padding(all(case, "padding")).ceil_mode(is(case, "ceil_mode"));
    let divisor_override = case.get("divisor_override").map(|divisor| divisor.as_u64().unwrap() as usize);
    AvgPool { divisor_override, ..options.count_include_pad(is(case, "count_include_pad")) }
}

fn unfold(case: &Value) -> Unfold {
    Unfold {
        kernel: all(case, "kernel_size"),
        dilation: all(case, "dilation"),
        padding: all(case, "padding"),
        stride: all(case, "stride"),
    }
}

fn pad(case: &Value, x: &Tensor) -> Tensor {
    let mode = match case["mode"].as_str().unwrap() {
        "constant" => PadMode::Constant(case["value"].as_f64().unwrap() as f32),
        "reflect" => PadMode::Reflect,
        "replicate" => PadMode::Replicate,
        "circular" => PadMode::Circular,
        mode => panic!("no mode {mode}"),
    };
    let numbers: Vec<isize> = list(case, "pad", Value::as_i64).unwrap().into_iter().map(|n| n as isize).collect();
    let pairs: Vec<(isize, isize)> = numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    x.pad(&pairs, mode)
}

fn interpolate(case: &Value, x: &Tensor) -> Tensor {
    let mode = match case["mode"].as_str().unwrap() {
        "nearest" => Interpolation::Nearest,
        "nearest-exact" => Interpolation::NearestExact,
        _ => Interpolation::Linear { align_corners: is(case, "align_corners") },
    };
    match list(case, "scale_factor", Value::as_f64) {
        Some(factors) => x.interpolate_by(&factors, mode),
        None => x.interpolate(&sizes(case, "size"), mode),
    }
}

/// The operation of a case, and the places of the maxima where PyTorch returns them.
fn build(case: &Value, x: &Tensor) -> (Tensor, Option<Tensor>) {
    let (y, index) = match case["op"].as_str().unwrap() {
        "max_pool1d" => x.max_pool1d_with_index(max_pool(case)),
        "max_pool2d" => x.max_pool2d_with_index(max_pool(case)),
        "max_pool3d" => x.max_pool3d_with_index(max_pool(case)),
        op => {
            let y = match op {
                "avg_pool1d" => x.avg_pool1d(avg_pool(case)),
                "avg_pool2d" => x.avg_pool2d(avg_pool(case)),
                "avg_pool3d" => x.avg_pool3d(avg_pool(case)),
                "adaptive_avg_pool1d" => x.adaptive_avg_pool1d(all(case, "output_size")),
                "adaptive_avg_pool2d" => x.adaptive_avg_pool2d(all(case, "output_size")),
                "adaptive_avg_pool3d" => x.adaptive_avg_pool3d(all(case, "output_size")),
                "adaptive_max_pool1d" => x.adaptive_max_pool1d(all(case, "output_size")),
                "adaptive_max_pool2d" => x.adaptive_max_pool2d(all(case, "output_size")),
                "adaptive_max_pool3d" => x.adaptive_max_pool3d(all(case, "output_size")),
                "pad" => pad(case, x),
                "unfold" => x.unfold(unfold(case)),
                "fold" => x.fold(all(case, "output_size"), unfold(case)),
                "interpolate" => interpolate(case, x),
                op => panic!("no operation {op}"),
            };
            return (y, None);
        }
    };
    (y, Some(index))
}

#[test]
fn values_places_and_gradients_equal_pytorchs() {
    let fixture = Fixture::open("pool");
    for (i, case) in fixture.table.iter().enumerate() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let stored = |key: &str| fixture.get(&format!("{i}.{key}"));
            let graph = Graph::new(Mode::Infer);
            let (x, dy) = (graph.input("x", stored("x").shape()), graph.input("dy", stored("dy").shape()));
            let (y, index) = build(case, &x);
            graph.check().unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(y.shape(), *stored("y").shape(), "{case}: shape");
            let dx = gradients(&y.mul(&dy).sum_all(), &[x]).remove(0).unwrap();
            let mut outputs = vec![("y", &y), ("dx", &dx)];
            outputs.extend(index.iter().map(|index| ("index", index)));
            let inputs = [("dy", stored("dy").clone()), ("x", stored("x").clone())];
            let target = context().target().with_class(class);
            let found = run_on(&graph, &outputs, &inputs, &target, PlanOptions::default())
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let what = format!("{case} {class:?}");
            assert_close(&format!("{what}: y"), &found[0].to_f32(), &stored("y").to_f32(), 2e-6);
            assert_close(&format!("{what}: dx"), &found[1].to_f32(), &stored("dx").to_f32(), 4e-6);
            if let Some(found) = found.get(2) {
                assert_eq!(found.to_u32(), stored("index").to_u32(), "{what}: index");
            }
        }
    }
    assert!(fixture.table.len() > 150, "only {} cases", fixture.table.len());
}
