//! Products against their definition, however the factors are stored, and in pieces.

use super::kernels::{PORTABLE_ROWS, SOFTWARE_ROWS, SUBGROUP_ROWS};
use crate::{
    kernel::{DeviceClass, Target, Tuning},
    plan::PlanOptions,
    prelude::*,
    testing::{Check, Numbers, context, run_on},
};
use std::sync::Arc;

/// Σ_k a[…, i, k]·b[…, k, j] for matrices with broadcast batches.
fn product(a: &Numbers, b: &Numbers) -> Numbers {
    let (x, y) = (a.shape().clone(), b.shape().clone());
    let outer = |shape: &Shape| -> Shape { shape[..shape.rank() - 2].into() };
    let batch = outer(&x).broadcast(&outer(&y)).unwrap();
    let (p, q) = (outer(&x).broadcast_strides(&batch), outer(&y).broadcast_strides(&batch));
    let (m, k, n) = (x[x.rank() - 2], x[x.rank() - 1], y[y.rank() - 1]);
    let shape: Shape = batch.iter().copied().chain([m, n]).collect();
    Numbers::from_fn(shape, |at| {
        let rank = batch.rank();
        let first = |strides: &[usize]| -> usize { strides.iter().zip(at).map(|(stride, i)| stride * i).sum() };
        let (p, q) = (first(&p) * m * k + at[rank] * k, first(&q) * k * n + at[rank + 1]);
        (0..k).map(|l| a.data()[p + l] * b.data()[q + l * n]).sum()
    })
}

fn swapped(x: &Numbers) -> Numbers {
    let rank = x.shape().rank();
    let shape: Shape =
        x.shape()[..rank - 2].iter().copied().chain([x.shape()[rank - 1], x.shape()[rank - 2]]).collect();
    Numbers::from_fn(shape, |at| {
        let mut at = at.to_vec();
        at.swap(rank - 2, rank - 1);
        x.at(&at)
    })
}

const STORED: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

/// A check of m×k by k×n products whose factors are stored transposed or not.
fn check(
    transposed: [bool; 2],
    sizes: &[[usize; 3]],
) -> Check<impl Fn([Tensor; 2]) -> Tensor, impl Fn([Numbers; 2]) -> Numbers, 2> {
    let side = |rows, columns, transposed| if transposed { [columns, rows] } else { [rows, columns] };
    let check = Check::new(
        move |[a, b]: [Tensor; 2]| {
            let stored = |x: Tensor, transposed: bool| if transposed { x.t() } else { x };
            stored(a, transposed[0]).matmul(&stored(b, transposed[1]))
        },
        move |[a, b]: [Numbers; 2]| {
            let stored = |x: Numbers, transposed: bool| if transposed { swapped(&x) } else { x };
            product(&stored(a, transposed[0]), &stored(b, transposed[1]))
        },
    );
    let shapes = |&[m, n, k]: &[usize; 3]| [side(m, k, transposed[0]), side(k, n, transposed[1])];
    sizes.iter().fold(check.range(-1.0, 1.0), |check, sizes| check.shapes(shapes(sizes)))
}

#[test]
fn matmul_matches_its_definition_however_its_factors_are_stored() {
    for transposed in STORED {
        check(transposed, &[[17, 67, 33], [20, 132, 36]]).no_half().run();
    }
}

#[test]
fn large_products_match_their_definition_however_their_factors_are_stored() {
    for transposed in STORED {
        check(transposed, &[[132, 196, 100]]).no_gradient().run();
    }
}

#[test]
fn software_drivers_need_no_subgroups() {
    let with = context().target().with_class(DeviceClass::Software);
    let without = Target { subgroups: false, ..with.clone() };
    let (a, b) = ([1, 20, 36], [1, 71, 36]);
    assert_eq!(in_parts(&a, &b, &without), in_parts(&a, &b, &with));
}

#[test]
fn tiles_of_every_height_give_the_same_bits() {
    let by_rules = context().target().with_class(DeviceClass::Software);
    // With what remains of tiles and vectors, and with whole vectors.
    for [m, n, k] in [[131, 70, 37], [132, 72, 36]] {
        let of_rows = |rows| {
            let mut tuning = Tuning::default();
            for size in [[m, n, k], [m, k, n], [n, k, m]] {
                tuning.set(&SUBGROUP_ROWS, size, rows);
            }
            in_parts(&[m, k], &[n, k], &Target { tuning: Arc::new(tuning), ..by_rules.clone() })
        };
        let expected = of_rows(8);
        for &rows in &SUBGROUP_ROWS.values[1..] {
            assert_eq!(of_rows(rows), expected, "{rows} rows");
        }
    }
}

#[test]
fn matmul_matches_its_definition_in_every_element_type() {
    check([false, true], &[[1, 1, 1], [3, 5, 2], [70, 65, 36]]).run();
}

#[test]
fn thin_products_match_their_definition() {
    for transposed in STORED {
        check(transposed, &[[3, 9, 35]]).no_half().run();
    }
    check([false, true], &[[1, 40, 64], [37, 1, 41]]).run();
    check([false, false], &[[4, 12, 36], [1, 1, 70], [1, 700, 40]]).no_half().run();
}

#[test]
fn thin_products_reach_their_kernels_however_their_factors_are_stored() {
    let cases = [
        (&[][..], [1, 500, 300], "matmul/thin"),
        (&[], [500, 1, 300], "matmul/thin"),
        (&[], [1, 1, 3000], "matmul/thin"),
        (&[6], [1, 70, 64], "matmul/thin"),
        (&[6], [70, 1, 64], "matmul/thin"),
        (&[2, 3], [1, 1, 64], "matmul/thin"),
        (&[], [70, 50, 1], "pointwise"),
        (&[5], [70, 50, 1], "pointwise"),
    ];
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        for ((batch, [m, n, k], expected), stored) in cases.into_iter().flat_map(|case| STORED.map(|s| (case, s))) {
            let graph = Graph::new(Mode::Infer);
            let factor = |name: &str, rows: usize, columns: usize, transposed: bool| {
                let sizes = if transposed { [columns, rows] } else { [rows, columns] };
                let x = graph.input(name, batch.iter().copied().chain(sizes).collect::<Shape>());
                if transposed { x.t() } else { x }
            };
            let y = factor("a", m, k, stored[0]).matmul(&factor("b", k, n, stored[1]));
            let plan = graph.plan(&[("y", &y)], &Target::baseline().with_class(class)).unwrap();
            let found: Vec<&str> = plan.kernels().map(|kernel| kernel.shader.name).collect();
            let known = |name: &&str| *name == expected || *name == "matmul/sum_parts";
            let case = format!("{class:?} {batch:?} {m}×{n}×{k} {stored:?}");
            assert!(found[0] == expected && found.iter().all(known), "{case}: {found:?}");
        }
    }
}

#[test]
fn long_sums_are_cut_into_parts() {
    check([true, false], &[[5, 6, 1100]]).tolerance(1e-4).run();
    check([false, true], &[[5, 7, 1100], [1, 2, 5000]]).no_half().tolerance(1e-4).run();
    check([false, false], &[[2, 50, 300], [1, 1, 70_000]]).no_half().no_gradient().tolerance(1e-3).run();
}

#[test]
fn batches_broadcast() {
    let shapes: [[&[usize]; 2]; 9] = [
        [&[3, 2, 5], &[5, 4]],
        [&[2, 5], &[3, 5, 4]],
        [&[2, 3, 4, 5], &[2, 3, 5, 2]],
        [&[2, 1, 4, 5], &[3, 5, 2]],
        [&[2, 3, 1, 5], &[2, 1, 5, 6]],
        [&[2, 1, 2, 1, 2, 1, 2, 3], &[1, 2, 1, 2, 1, 2, 3, 2]],
        [&[1, 9, 40], &[2, 40, 8]],
        [&[2, 1, 64], &[64, 6]],
        [&[2, 1, 13, 24], &[3, 24, 19]],
    ];
    let check = Check::new(|[a, b]: [Tensor; 2]| a.matmul(&b), |[a, b]| product(&a, &b)).no_half();
    shapes.into_iter().fold(check, Check::shapes).run();
}

#[test]
fn transposed_batches_are_read_where_they_are() {
    let graph = Graph::new(Mode::Infer);
    let (q, k) = (graph.input("q", [2, 3, 7, 4]), graph.input("k", [2, 3, 5, 4]));
    let plan = graph.plan(&[("y", &q.matmul(&k.transpose(-1, -2)))], &Target::baseline()).unwrap();
    assert_eq!(plan.report().steps.len(), 1, "{}", plan.report());
    Check::new(|[q, k]: [Tensor; 2]| q.matmul(&k.t()), |[q, k]| product(&q, &swapped(&k)))
        .shapes([[2, 3, 7, 4], [2, 3, 5, 4]])
        .no_half()
        .run();
    Check::new(|[a, b]: [Tensor; 2]| a.t().matmul(&b), |[a, b]| product(&swapped(&a), &b))
        .shapes([&[2, 6, 3][..], &[6, 5]])
        .no_half()
        .run();
}

#[test]
fn vectors_are_rows_on_the_left_and_columns_on_the_right() {
    let vector = |x: &Numbers, shape: [usize; 2]| x.reshape(shape);
    Check::new(
        |[a, b]: [Tensor; 2]| a.matmul(&b),
        |[a, b]| product(&vector(&a, [1, 5]), &vector(&b, [5, 1])).reshape([]),
    )
    .shapes([[5], [5]])
    .run();
    Check::new(|[a, b]: [Tensor; 2]| a.matmul(&b), |[a, b]| product(&vector(&a, [1, 5]), &b).reshape([2, 3]))
        .shapes([&[5][..], &[2, 5, 3]])
        .run();
    Check::new(|[a, b]: [Tensor; 2]| a.matmul(&b), |[a, b]| product(&a, &vector(&b, [5, 1])).reshape([2, 3]))
        .shapes([&[2, 3, 5][..], &[5]])
        .run();
}

#[test]
fn linear_matches_its_definition() {
    Check::new(
        |[x, w, b]: [Tensor; 3]| x.linear(&w, Some(&b)),
        |[x, w, b]| product(&x, &swapped(&w)).zip(&b, |y, b| y + b),
    )
    .shapes([&[6, 5][..], &[3, 5], &[3]])
    .shapes([&[2, 5, 12][..], &[20, 12], &[20]])
    .no_half()
    .run();
    Check::new(
        |[x, w]: [Tensor; 2]| x.linear(&w, None),
        |[x, w]| product(&x.reshape([1, 5]), &swapped(&w)).reshape([3]),
    )
    .shapes([&[5][..], &[3, 5]])
    .no_half()
    .run();
}

#[test]
fn the_weight_of_a_batch_has_its_gradient_in_one_product() {
    let graph = Graph::new(Mode::Train);
    let (x, w) = (graph.input("x", [4, 6, 8]), graph.parameter("w", [16, 8], Init::ones()));
    let loss = x.linear(&w, None).square().sum_all();
    let dw = crate::autodiff::gradients(&loss, &[w]).remove(0).unwrap();
    let plan = graph.plan(&[("dw", &dw)], &Target::baseline()).unwrap();
    let products = plan.report().steps.iter().filter(|step| step.ops.contains("matmul")).count();
    assert_eq!(products, 2, "{}", plan.report());
}

#[test]
fn empty_sums_are_zero_and_empty_results_are_empty() {
    let graph = Graph::new(Mode::Infer);
    let (a, b) = (graph.input("a", [3, 0]), graph.input("b", [0, 2]));
    let (sum, none) = (a.matmul(&b), b.matmul(&graph.input("c", [2, 4])));
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let target = context().target().with_class(class);
        let outputs = [("sum", &sum), ("none", &none)];
        let found = run_on(&graph, &outputs, &[], &target, PlanOptions::default()).unwrap();
        assert_eq!(found[0].to_f32(), [0.0; 6]);
        assert_eq!(*found[1].shape(), Shape::from([0, 4]));
    }
}

#[test]
fn infinity_times_zero_is_not_a_number_and_stays_where_it_is() {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("a", [3, 5]).matmul(&graph.input("b", [5, 2]));
    let mut a = vec![1.0; 15];
    (a[0], a[7]) = (f32::INFINITY, f32::NAN);
    let mut b = vec![1.0; 10];
    b[1] = 0.0;
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let target = context().target().with_class(class);
        let inputs = [("a", Array::from_f32([3, 5], &a).unwrap()), ("b", Array::from_f32([5, 2], &b).unwrap())];
        let y = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap()[0].to_f32();
        assert_eq!(y[0], f32::INFINITY);
        assert!(y[1].is_nan() && y[2].is_nan() && y[3].is_nan());
        assert_eq!(y[4..], [5.0, 4.0]);
    }
}

/// a·bᵀ and both its gradients on a target.
fn in_parts(a: &[usize], b: &[usize], target: &Target) -> [Vec<f32>; 3] {
    let graph = Graph::new(Mode::Infer);
    let (x, y) = (graph.input("a", a), graph.input("b", b));
    let product = x.matmul(&y.t());
    let dy = graph.input("dy", product.shape());
    let loss = product.mul(&dy).sum_all();
    let gradients = crate::autodiff::gradients(&loss, &[x.clone(), y.clone()]);
    let (dx, dw) = (gradients[0].as_ref().unwrap(), gradients[1].as_ref().unwrap());
    let numbers = |shape: &Shape, step: usize| {
        let numbers: Vec<f32> = (0..shape.numel()).map(|i| ((i * step) % 17) as f32 / 8.0 - 1.0).collect();
        Array::from_f32(shape, &numbers).unwrap()
    };
    let inputs = [("a", numbers(&x.shape(), 5)), ("b", numbers(&y.shape(), 7)), ("dy", numbers(&dy.shape(), 3))];
    let outputs = [("y", &product), ("dx", dx), ("dw", dw)];
    let found =
        run_on(&graph, &outputs, &inputs, target, PlanOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    [0, 1, 2].map(|i| found[i].to_f32())
}

#[test]
fn values_larger_than_a_binding_are_multiplied_in_parts() {
    let shapes: [([usize; 3], [usize; 3], u64); 4] = [
        ([1, 1, 96], [1, 70, 96], 1536),
        ([1, 70, 50], [1, 61, 50], 2048),
        ([1, 9, 1000], [1, 5, 1000], 8192),
        ([6, 20, 24], [6, 20, 24], 1536),
    ];
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let whole = context().target().with_class(class);
        for (a, b, max_binding_bytes) in shapes {
            let target = Target { max_binding_bytes, ..whole.clone() };
            let (expected, found) = (in_parts(&a, &b, &whole), in_parts(&a, &b, &target));
            for (found, expected) in found.iter().zip(&expected) {
                let differs = found.iter().zip(expected).any(|(x, y)| (x - y).abs() > 1e-4);
                assert!(!differs, "{class:?} {a:?} {b:?} in {max_binding_bytes} bytes");
            }
        }
    }
}

#[test]
fn the_first_layer_of_alexnets_classifier_fits_128_mib_bindings() {
    let graph = Graph::new(Mode::Train);
    let (x, w) = (graph.input("x", [8, 9216]), graph.parameter("w", [4096, 9216], Init::ones()));
    let y = x.linear(&w, Some(&graph.parameter("b", [4096], Init::ones()))).relu();
    let gradients = crate::autodiff::gradients(&y.sum_all(), &[x, w]);
    let outputs = [("y", &y), ("dx", gradients[0].as_ref().unwrap()), ("dw", gradients[1].as_ref().unwrap())];
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let plan = graph.plan(&outputs, &Target::baseline().with_class(class)).unwrap();
        let steps = plan.report().steps;
        // Halves of the weight's rows with bias and activation; halves of the sum for dx; halves of dw.
        let products = steps.iter().filter(|step| step.kernel != "matmul/sum_parts.main");
        let (fused, others): (Vec<_>, Vec<_>) =
            products.filter(|step| step.ops.contains("matmul")).partition(|step| step.ops.contains("add+relu"));
        assert_eq!((fused.len(), others.len()), (2, 4), "{}", plan.report());
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_shapes() {
    let refused = |write: fn(&Graph)| {
        let graph = Graph::new(Mode::Infer);
        write(&graph);
        graph.check().unwrap_err().message().to_owned()
    };
    let message = refused(|g| drop(g.input("a", [2, 3]).t().matmul(&g.input("b", [4, 5]))));
    assert_eq!(message, "matmul: shapes [3, 2] and [4, 5] do not fit: 2 columns meet 4 rows");
    let message = refused(|g| drop(g.input("a", [3]).matmul(&g.input("b", [4, 5]))));
    assert_eq!(message, "matmul: shapes [3] and [4, 5] do not fit: 3 columns meet 4 rows");
    let message = refused(|g| drop(g.input("a", [2, 4, 3]).matmul(&g.input("b", [3, 3, 5]))));
    assert_eq!(message, "matmul: shapes [2, 4, 3] and [3, 3, 5] do not fit: their first dimensions do not broadcast");
    let message = refused(|g| drop(g.input("a", []).matmul(&g.input("b", [4]))));
    assert_eq!(message, "matmul: shapes [] and [4] do not fit: a single number is no matrix");
    let message = refused(|g| drop(g.input("a", [2, 2]).matmul(&g.input_of("b", [2, 2], DType::U32))));
    assert_eq!(message, "matmul: multiplies floating point numbers of one type, not f32[2, 2] and u32[2, 2]");
    let message = refused(|g| drop(g.input("x", [2, 3]).linear(&g.input("w", [3, 4]), None)));
    assert_eq!(message, "linear: shape [2, 3] does not fit a weight of shape [3, 4], which is [out, in]");
}

#[test]
fn what_was_measured_on_a_device_goes_before_the_rules() {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("a", [64, 64]).matmul(&graph.input("b", [64, 64]));
    let cases = [
        (DeviceClass::Software, false, SOFTWARE_ROWS),
        (DeviceClass::Software, true, SUBGROUP_ROWS),
        (DeviceClass::Portable, false, PORTABLE_ROWS),
    ];
    for (class, subgroups, choice) in cases {
        for &rows in choice.values {
            let mut tuning = Tuning::default();
            tuning.set(&choice, [64, 64, 64], rows);
            let target = Target { tuning: Arc::new(tuning), subgroups, ..Target::baseline().with_class(class) };
            let plan = graph.plan(&[("y", &y)], &target).unwrap();
            let chosen: Vec<_> = plan.kernels().flat_map(|kernel| &kernel.constants).collect();
            assert!(chosen.contains(&&("ROWS", rows)), "{class:?} {rows}: {chosen:?}");
        }
    }
}
