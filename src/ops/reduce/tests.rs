//! Reductions against their definitions, over every choice of dimensions, long and in pieces.

use crate::{
    autodiff::gradients,
    kernel::{DeviceClass, Target},
    ops::rows::map_rows,
    plan::PlanOptions,
    prelude::*,
    testing::{Check, Numbers, context, run, run_on},
};

/// The definition of a reduction: one dimension after the other, then without them.
fn fold(x: &Numbers, dims: &[isize], keepdim: bool, f: impl Fn(&[f64]) -> f64) -> Numbers {
    let rank = x.shape().rank() as isize;
    let all: Vec<isize> = (0..rank).collect();
    let axes: Vec<usize> =
        if dims.is_empty() { &all[..] } else { dims }.iter().map(|d| ((d + rank) % rank) as usize).collect();
    let y = axes.iter().fold(x.clone(), |x, &axis| map_rows(&x, axis as isize, |row| vec![f(row)]));
    let kept: Shape = (0..rank as usize).filter(|d| !axes.contains(d)).map(|d| x.shape()[d]).collect();
    if keepdim { y } else { y.reshape(kept) }
}

fn sum(row: &[f64]) -> f64 {
    row.iter().sum()
}

fn mean(row: &[f64]) -> f64 {
    sum(row) / row.len() as f64
}

fn max(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn min(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::INFINITY, f64::min)
}

const DIMS: [&[isize]; 9] = [&[0], &[1], &[2], &[-1], &[0, 1], &[1, -1], &[0, 2], &[2, 0, 1], &[]];

#[test]
fn every_dimension_is_summed() {
    for (dims, keepdim) in DIMS.into_iter().flat_map(|dims| [(dims, false), (dims, true)]) {
        Check::new(|[x]: [Tensor; 1]| x.sum(dims, keepdim), |[x]| fold(&x, dims, keepdim, sum))
            .shapes([[3, 5, 4]])
            .shapes([[2, 1, 7]])
            .run();
    }
}

#[test]
fn every_dimension_is_averaged_and_compared() {
    for dims in DIMS {
        Check::new(|[x]: [Tensor; 1]| x.mean(dims, true), |[x]| fold(&x, dims, true, mean))
            .shapes([[3, 5, 4]])
            .run();
        Check::new(|[x]: [Tensor; 1]| x.max(dims, true), |[x]| fold(&x, dims, true, max)).shapes([[3, 5, 4]]).run();
        Check::new(|[x]: [Tensor; 1]| x.min(dims, false), |[x]| fold(&x, dims, false, min))
            .shapes([[3, 5, 4]])
            .run();
    }
}

#[test]
fn sizes_past_one_workgroup_and_one_part() {
    let shapes: [([usize; 3], &[isize]); 10] = [
        ([1, 5003, 1], &[1]),
        ([2, 33, 130], &[2]),
        ([300, 33, 2], &[2]),
        ([1, 9001, 4], &[1]),
        ([2, 700, 7], &[1]),
        ([3, 1, 20_001], &[2]),
        ([5, 4, 4100], &[0, 2]),
        ([4101, 3, 5], &[0, 2]),
        ([2, 301, 36], &[1]),
        ([1, 1030, 20], &[1]),
    ];
    for (shape, dims) in shapes {
        Check::new(|[x]: [Tensor; 1]| x.sum(dims, false), |[x]| fold(&x, dims, false, sum)).shapes([shape]).run();
        Check::new(|[x]: [Tensor; 1]| x.max(dims, false), |[x]| fold(&x, dims, false, max)).shapes([shape]).run();
    }
}

#[test]
fn squares_are_summed_without_an_array_of_them() {
    Check::new(
        |[x]: [Tensor; 1]| x.sum_squares(),
        |[x]| fold(&x, &[], false, |row| row.iter().map(|x| x * x).sum()),
    )
    .shapes([[7]])
    .shapes([[1]])
    .shapes([[10_001]])
    .run();
}

#[test]
fn products_match_their_definition() {
    let product = |row: &[f64]| row.iter().product();
    for dims in DIMS {
        Check::new(|[x]: [Tensor; 1]| x.prod(dims, true), |[x]| fold(&x, dims, true, product))
            .shapes([[3, 5, 4]])
            .shapes([[1, 2, 1]])
            .range(0.7, 1.4)
            .run();
    }
    Check::new(|[x]: [Tensor; 1]| x.prod(&[1], false), |[x]| fold(&x, &[1], false, product))
        .shapes([[2, 5003]])
        .range(0.999, 1.001)
        .run();
}

#[test]
fn the_gradient_of_a_product_is_exact_at_zeros() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [3, 3]);
    let y = x.prod(&[1], false);
    let dx = gradients(&y.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
    let array = Array::from_f32([3, 3], &[2.0, 3.0, 4.0, 2.0, 0.0, -4.0, 0.0, 5.0, 0.0]).unwrap();
    let found = run(&graph, &[("y", &y), ("dx", &dx)], &[("x", array)]).unwrap();
    assert_eq!(found[0].to_f32(), [24.0, 0.0, 0.0]);
    assert_eq!(found[1].to_f32(), [12.0, 8.0, 6.0, 0.0, -8.0, 0.0, 0.0, 0.0, 0.0]);
    gradients(&dx.sum_all(), &[x]);
    let text = "prod_grad: has no gradient, and the loss needs one through it";
    assert_eq!(graph.check().unwrap_err().message(), text);
}

#[test]
fn norms_match_their_definition() {
    let l1 = |row: &[f64]| row.iter().map(|x| x.abs()).sum();
    let l2 = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let largest = |row: &[f64]| row.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    for dims in DIMS {
        Check::new(|[x]: [Tensor; 1]| x.norm(1.0, dims, false), |[x]| fold(&x, dims, false, l1))
            .shapes([[3, 5, 4]])
            .run();
        Check::new(|[x]: [Tensor; 1]| x.norm(2.0, dims, true), |[x]| fold(&x, dims, true, l2))
            .shapes([[3, 5, 4]])
            .shapes([[1, 1, 1]])
            .run();
        Check::new(|[x]: [Tensor; 1]| x.norm(f32::INFINITY, dims, true), |[x]| fold(&x, dims, true, largest))
            .shapes([[3, 5, 4]])
            .run();
    }
    Check::new(
        |[x]: [Tensor; 1]| x.normalize(2.0, 1, 1e-12),
        |[x]| map_rows(&x, 1, |row| row.iter().map(|x| x / l2(row)).collect()),
    )
    .shapes([[3, 5, 4]])
    .shapes([[2, 1, 1]])
    .run();
}

#[test]
fn norms_of_nothing_and_of_zeros() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [3]);
    let none = graph.input("none", [2, 0]);
    let y = x.norm(2.0, &[], false);
    let dx = gradients(&y, std::slice::from_ref(&x)).remove(0).unwrap();
    let outputs =
        [("y", &y), ("dx", &dx), ("unit", &x.normalize(2.0, 0, 1e-12)), ("none", &none.norm(2.0, &[1], false)), ("prod", &none.prod(&[1], false))];
    let inputs = [("x", Array::from_f32([3], &[0.0; 3]).unwrap()), ("none", Array::from_f32([2, 0], &[]).unwrap())];
    let found = run(&graph, &outputs, &inputs).unwrap();
    assert_eq!(found[0].to_f32(), [0.0]);
    assert_eq!(found[1].to_f32(), [0.0; 3]);
    assert_eq!(found[2].to_f32(), [0.0; 3]);
    assert_eq!(found[3].to_f32(), [0.0; 2]);
    assert_eq!(found[4].to_f32(), [1.0; 2]);
    x.norm(3.0, &[], false);
    assert_eq!(graph.check().unwrap_err().message(), "norm: p is 1, 2 or infinity, not 3");
}

#[test]
fn a_million_numbers_are_summed_to_a_millionth() {
    let million = 1_000_003;
    Check::new(|[x]: [Tensor; 1]| x.sum_all(), |[x]| fold(&x, &[], false, sum))
        .shapes([[million]])
        .range(0.0, 1.0)
        .tolerance(1e-6)
        .no_half()
        .no_gradient()
        .run();
    // Rounding errors of equal numbers add up instead of cancelling.
    for (shape, dim) in [([1, million], 1), ([million, 1], 0), ([million / 3, 3], 0)] {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", shape);
            let y = x.sum(&[dim], false);
            let n = shape[dim as usize];
            let array = Array::from_f32(shape, &vec![0.1; shape[0] * shape[1]]).unwrap();
            let target = context().target().with_class(class);
            let y = run_on(&graph, &[("y", &y)], &[("x", array)], &target, PlanOptions::default()).unwrap();
            let expected = n as f64 * f64::from(0.1_f32);
            for found in y[0].to_f32() {
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 1e-6, "{class:?} {shape:?}: {found} against {expected}");
            }
        }
    }
}

#[test]
fn nan_and_infinity_behave_as_in_pytorch() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [4, 3]);
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let array = Array::from_f32([4, 3], &[1.0, nan, 2.0, inf, 1.0, -inf, -inf, -inf, -inf, 3.0, 1.0, nan]).unwrap();
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        for dim in [1, -1] {
            let [sum, max, min] = [x.sum(&[dim], false), x.max(&[dim], false), x.min(&[dim], false)];
            let target = context().target().with_class(class);
            let outputs = [("sum", &sum), ("max", &max), ("min", &min)];
            let found = run_on(&graph, &outputs, &[("x", array.clone())], &target, PlanOptions::default()).unwrap();
            let [sum, max, min] = [0, 1, 2].map(|i| found[i].to_f32());
            assert!(sum[0].is_nan() && sum[1].is_nan() && sum[2] == -inf && sum[3].is_nan(), "{sum:?}");
            assert!(max[0].is_nan() && max[1] == inf && max[2] == -inf && max[3].is_nan(), "{max:?}");
            assert!(min[0].is_nan() && min[1] == -inf && min[2] == -inf && min[3].is_nan(), "{min:?}");
        }
    }
}

#[test]
fn equal_extremes_share_the_gradient() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [2, 1, 3]);
    let loss = x.max(&[0, 2], false).sum_all();
    let dx = gradients(&loss, &[x]).remove(0).unwrap();
    let array = Array::from_f32([2, 1, 3], &[5.0, 5.0, 1.0, 5.0, 2.0, 5.0]).unwrap();
    let found = run(&graph, &[("dx", &dx)], &[("x", array)]).unwrap();
    assert_eq!(found[0].to_f32(), [0.25, 0.25, 0.0, 0.25, 0.0, 0.25]);
}

#[test]
fn the_sum_of_nothing_is_zero_and_its_mean_nan() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [3, 0, 2]);
    let (sum, mean, none) = (x.sum(&[1], false), x.mean_all(), x.sum(&[0], false));
    let outputs = [("sum", &sum), ("mean", &mean), ("none", &none)];
    let found = run(&graph, &outputs, &[("x", Array::from_f32([3, 0, 2], &[]).unwrap())]).unwrap();
    assert_eq!(found[0].to_f32(), [0.0; 6]);
    assert!(found[1].to_f32()[0].is_nan());
    assert_eq!(*found[2].shape(), Shape::from([0, 2]));
}

#[test]
fn values_larger_than_a_binding_are_summed_in_parts() {
    let shape = [21, 50, 3];
    let numbers: Vec<f32> = (0..21 * 50 * 3).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
    for (class, dims, dtype) in [DeviceClass::Software, DeviceClass::Portable]
        .into_iter()
        .flat_map(|class| DIMS.map(|dims| (class, dims)))
        .flat_map(|(class, dims)| [DType::F32, DType::F16].map(|dtype| (class, dims, dtype)))
    {
        let whole = context().target().with_class(class);
        if dtype == DType::F16 && !whole.f16 {
            continue;
        }
        let graph = Graph::new(Mode::Infer);
        let x = graph.input_of("x", shape, dtype);
        let y = x.sum(dims, false);
        let array = Array::from_f32_as(dtype, shape, &numbers).unwrap();
        let results = [2048 * dtype.bytes() as u64, whole.max_binding_bytes].map(|max_binding_bytes| {
            let target = Target { max_binding_bytes, ..whole.clone() };
            let inputs = [("x", array.clone())];
            let y = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default());
            y.unwrap_or_else(|error| panic!("{class:?} {dims:?} {dtype}: {error}"))[0].to_f32()
        });
        assert_eq!(results[0], results[1], "{class:?} {dims:?} {dtype}");
    }
}

#[test]
fn sums_to_the_shape_that_was_broadcast() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [2, 3, 4]);
    for shape in [&[2, 3, 4][..], &[3, 4], &[4], &[], &[1, 1, 1], &[2, 1, 4], &[3, 1], &[1, 3, 1], &[1]] {
        assert_eq!(x.sum_to(&shape.into()).shape(), shape.into());
    }
    Check::new(
        |[x]: [Tensor; 1]| x.sum_to(&[3, 1].into()),
        |[x]| Numbers::from_fn([3, 1], |at| (0..8).map(|i| x.at(&[i / 4, at[0], i % 4])).sum()),
    )
    .shapes([[2, 3, 4]])
    .run();
    graph.check().unwrap();
    x.sum_to(&[2, 3].into());
    let error = graph.check().unwrap_err();
    assert_eq!(error.message(), "sum_to: shape [2, 3] does not broadcast to [2, 3, 4]");
}

#[test]
fn mistakes_name_shapes() {
    let message = |mistake: &dyn Fn(&Tensor)| {
        let graph = Graph::new(Mode::Infer);
        mistake(&graph.input("x", [2, 3]));
        graph.check().unwrap_err().message().to_owned()
    };
    assert_eq!(message(&|x| drop(x.sum(&[3], false))), "sum: dimension 3 is outside shape [2, 3]");
    assert_eq!(message(&|x| drop(x.mean(&[1, -1], true))), "mean: dimension -1 of shape [2, 3] is given twice");
    let nothing = |x: &Tensor| drop(x.slice(1, 0..0).max(&[1], false));
    assert_eq!(message(&nothing), "max: shape [2, 0] has no elements to compare");
    let index = |x: &Tensor| drop(x.graph().input_of("i", [2], DType::U32).sum_all());
    assert_eq!(message(&index), "sum: needs floating point numbers, not u32[2]");
}
