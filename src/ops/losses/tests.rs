//! The losses against their definitions.

use super::{BinaryCrossEntropy, MultiMargin, NllLoss, Reduction};
use crate::{
    autodiff::gradients,
    kernel::DeviceClass,
    ops::map::tests::slope,
    plan::PlanOptions,
    prelude::*,
    testing::{Check, Numbers, context, run, run_on},
};

const REDUCTIONS: [Reduction; 4] = [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None];
const IGNORED: u32 = -100_i32 as u32;

/// What a reduction makes of losses, each of which counts as much as its weight.
fn reduced(losses: Numbers, reduction: Reduction, weights: f64) -> Numbers {
    let number = |value: f64| Numbers::new([], vec![value]);
    match reduction {
        Reduction::None => losses,
        Reduction::Sum => number(losses.sum()),
        Reduction::Mean => number(losses.sum() / weights),
        Reduction::BatchMean => number(losses.sum() / losses.shape()[0] as f64),
    }
}

/// A loss of numbers against its definition for two elements, with every reduction.
fn check(range: (f64, f64), op: impl Fn(&Tensor, &Tensor, Reduction) -> Tensor, definition: impl Fn(f64, f64) -> f64) {
    for (i, reduction) in REDUCTIONS.into_iter().enumerate() {
        let shapes: [&[usize]; 2] = [[&[3, 5][..], &[4099]], [&[1], &[2, 3, 4]], [&[4, 1], &[7]], [&[5, 4], &[6, 1, 3]]][i];
        for shape in shapes {
            Check::new(
                |[x, t]: [Tensor; 2]| op(&x, &t, reduction),
                |[x, t]: [Numbers; 2]| {
                    let loss = x.zip(&t, &definition);
                    let count = loss.data().len() as f64;
                    reduced(loss, reduction, count)
                },
            )
            .shapes([shape, shape])
            .range(range.0, range.1)
            .run();
        }
    }
}

fn huber(d: f64, delta: f64) -> f64 {
    if d.abs() < delta { d * d / 2.0 } else { delta * (d.abs() - delta / 2.0) }
}

#[test]
fn distances_match_their_definitions() {
    check((-2.0, 2.0), Tensor::mse_loss, |x, t| (x - t).powi(2));
    check((-2.0, 2.0), Tensor::l1_loss, |x, t| (x - t).abs());
    check((-2.0, 2.0), |x, t, r| x.huber_loss(t, 0.7, r), |x, t| huber(x - t, 0.7));
    check((-2.0, 2.0), |x, t, r| x.smooth_l1_loss(t, 0.5, r), |x, t| huber(x - t, 0.5) / 0.5);
    check((-2.0, 2.0), |x, t, r| x.smooth_l1_loss(t, 0.0, r), |x, t| (x - t).abs());
}

#[test]
fn likelihoods_match_their_definitions() {
    let softplus = |x: f64| x.exp().ln_1p();
    check((0.05, 0.95), Tensor::binary_cross_entropy_with_logits, |x, t| (1.0 - t) * softplus(x) + t * softplus(-x));
    check((0.05, 2.0), |x, t, r| x.kl_div(t, false, r), |x, t| t * (t.ln() - x));
    check((-2.0, 1.0), |x, t, r| x.kl_div(t, true, r), |x, t| t.exp() * (t - x));
    check((-2.0, 2.0), Tensor::hinge_loss, |x, t| (1.0 - t * x).max(0.0));
    check((-2.0, 2.0), |x, t, r| x.poisson_nll_loss(t, true, 0.0, r), |x, t| x.exp() - t * x);
    check((0.1, 2.0), |x, t, r| x.poisson_nll_loss(t, false, 1e-2, r), |x, t| x - t * (x + 1e-2).ln());
}

#[test]
fn losses_of_three_arguments_match_their_definitions() {
    Check::new(
        |[x, t, v]| x.gaussian_nll_loss(&t, &(v.square() + 0.5), 1e-6, Reduction::Sum),
        |[x, t, v]| {
            let v = v.map(|v| v * v + 0.5);
            let loss = x.zip(&t, |x, t| (x - t).powi(2)).zip(&v, |d, v| 0.5 * (v.ln() + d / v));
            Numbers::new([], vec![loss.sum()])
        },
    )
    .shapes([[3, 5], [3, 5], [3, 5]])
    .run();
    let weighted = |[x, w, p]: [Tensor; 3]| {
        let options = BinaryCrossEntropy::new().weight(&(w + 3.0)).pos_weight(&(p + 3.0)).reduction(Reduction::None);
        options.apply(&x, &x.sigmoid().detach())
    };
    Check::new(weighted, |[x, w, p]| {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let both = x.zip(&p, |x, p| {
            let t = sigmoid(x);
            (1.0 - t) * x.exp().ln_1p() + (p + 3.0) * t * (-x).exp().ln_1p()
        });
        both.zip(&w, |loss, w| loss * (w + 3.0))
    })
    .shapes([&[4, 5][..], &[5], &[4, 1]])
    .no_gradient()
    .run();
    for dim in [0, 1, -1] {
        Check::new(
            |[a, b]| a.cosine_similarity(&b, dim, 1e-8),
            |[a, b]| {
                let axis = a.shape().axis(dim).unwrap();
                let [outer, n, inner] = a.shape().split_at_axis(axis);
                let sum = |f: &dyn Fn(usize) -> f64, row: usize| -> f64 {
                    (0..n).map(|k| f((row / inner * n + k) * inner + row % inner)).sum()
                };
                let rows = (0..outer * inner).map(|row| {
                    let norm = |x: &Numbers| sum(&|i| x.data()[i].powi(2), row).sqrt();
                    sum(&|i| a.data()[i] * b.data()[i], row) / (norm(&a) * norm(&b))
                });
                let shape: Vec<usize> = (0..a.shape().rank()).filter(|&d| d != axis).map(|d| a.shape()[d]).collect();
                Numbers::new(shape, rows.collect())
            },
        )
        .shapes([[3, 5], [3, 5]])
        .run();
    }
}

/// Targets that reach every class, every fifth ignored where that is wanted.
fn targets(count: usize, classes: usize, ignores: bool) -> Vec<u32> {
    (0..count).map(|i| if ignores && i % 5 == 3 { IGNORED } else { (i * 7 % classes) as u32 }).collect()
}

/// The rows of dimension 1: for each the numbers of its classes.
fn rows(x: &Numbers) -> Vec<Vec<f64>> {
    let [outer, n, inner] = x.shape().split_at_axis(1);
    let row = |row: usize| (0..n).map(|k| x.data()[(row / inner * n + k) * inner + row % inner]).collect();
    (0..outer * inner).map(row).collect()
}

fn outer_shape(shape: &[usize]) -> Vec<usize> {
    shape[..1].iter().chain(&shape[2..]).copied().collect()
}

#[test]
fn nll_matches_its_definition_with_weights_and_ignored_rows() {
    let cases: [&[usize]; 6] = [&[5, 7], &[4, 3, 2], &[2, 5, 3, 2], &[1, 1], &[300, 4], &[3, 70, 5]];
    for (i, shape) in cases.into_iter().enumerate() {
        let outer = outer_shape(shape);
        let target = targets(outer.iter().product(), shape[1], true);
        let factor = |k: usize| if i % 2 == 0 { 0.25 + (k % 4) as f64 } else { 1.0 };
        let factors: Vec<f32> = (0..shape[1]).map(|k| factor(k) as f32).collect();
        let reduction = REDUCTIONS[i % 4];
        Check::new(
            |[x]: [Tensor; 1]| {
                let graph = x.graph();
                let t = graph.input_of("target", &outer[..], DType::U32);
                let mut options = NllLoss::new().reduction(reduction);
                if i % 2 == 0 {
                    let parts: Vec<Tensor> = factors.iter().map(|&w| graph.full([1], w, x.dtype())).collect();
                    options = options.weight(&Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0));
                }
                options.apply(&x, &t)
            },
            |[x]| {
                let counts = |t: u32| if t == IGNORED { 0.0 } else { factor(t as usize) };
                let loss = rows(&x).into_iter().zip(&target).map(|(row, &t)| {
                    if t == IGNORED { 0.0 } else { -row[t as usize] * counts(t) }
                });
                let loss = Numbers::new(&outer[..], loss.collect());
                reduced(loss, reduction, target.iter().map(|&t| counts(t)).sum())
            },
        )
        .shapes([shape])
        .index("target", &outer[..], &target)
        .run();
    }
}

#[test]
fn multi_margin_matches_its_definition() {
    for (i, shape) in [[5, 7], [4, 3], [1, 1], [70, 33], [3, 2]].into_iter().enumerate() {
        let (target, reduction, squared) = (targets(shape[0], shape[1], false), REDUCTIONS[i % 4], i % 2 == 1);
        Check::new(
            |[x]: [Tensor; 1]| {
                let t = x.graph().input_of("target", [shape[0]], DType::U32);
                let options = MultiMargin { squared, ..MultiMargin::new().margin(0.6).reduction(reduction) };
                options.apply(&x, &t)
            },
            |[x]| {
                let loss = rows(&x).into_iter().zip(&target).map(|(row, &t)| {
                    let missing = (0..row.len()).filter(|&k| k != t as usize);
                    let missing = missing.map(|k| (0.6 - row[t as usize] + row[k]).max(0.0));
                    missing.map(|x| if squared { x * x } else { x }).sum::<f64>() / row.len() as f64
                });
                let loss = Numbers::new([shape[0]], loss.collect());
                reduced(loss, reduction, shape[0] as f64)
            },
        )
        .shapes([shape])
        .index("target", [shape[0]], &target)
        .run();
    }
}

/// A loss and the derivative of its sum.
type Case<'a> = (&'a dyn Fn(&Tensor) -> Tensor, &'a dyn Fn(f64) -> f64);

#[test]
fn second_gradients_exist() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let gradient = |of: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| slope(x, |x| of(x));
    let zero = |x: &Tensor| x.detach() * 0.0;
    let cases: [Case<'_>; 4] = [
        (&|x| x.mse_loss(&zero(x), Reduction::None), &|x| 2.0 * x),
        (&|x| x.huber_loss(&zero(x), 0.8, Reduction::None), &|x| x.clamp(-0.8, 0.8)),
        (&|x| x.binary_cross_entropy_with_logits(&zero(x), Reduction::None), &|x| sigmoid(x)),
        (&|x| x.exp().kl_div(&x.exp(), false, Reduction::None).square(), &|x| {
            let (y, d) = (x.exp() * (x - x.exp()), x.exp() * (x - x.exp()) + x.exp() * (1.0 - x.exp()));
            2.0 * y * d
        }),
    ];
    for (op, definition) in cases {
        Check::new(|[x]: [Tensor; 1]| gradient(op, &x), |[x]| x.map(definition)).shapes([[3, 5]]).run();
    }
    // Cross entropy: softmax(x) − target, whose own gradient is checked against its central differences.
    let target = [2, IGNORED, 0];
    Check::new(
        |[x]: [Tensor; 1]| {
            let t = x.graph().input_of("target", [3], DType::U32);
            slope(&x, |x| ops_cross_entropy(x, &t))
        },
        |[x]| {
            let x = rows(&x);
            let slopes = x.iter().zip(target).flat_map(|(row, t)| {
                let sum: f64 = row.iter().map(|x| x.exp()).sum();
                let log: Vec<f64> = row.iter().map(|x| x - sum.ln()).collect();
                let q = move |k: usize| 0.1 / 4.0 + if k == t as usize { 0.9 } else { 0.0 };
                let loss: f64 = -(0..4).map(|k| q(k) * log[k]).sum::<f64>();
                (0..4).map(move |k| if t == IGNORED { 0.0 } else { 2.0 * loss * (log[k].exp() - q(k)) })
            });
            Numbers::new([3, 4], slopes.collect())
        },
    )
    .shapes([[3, 4]])
    .index("target", [3], &target)
    .run();
}

fn ops_cross_entropy(x: &Tensor, t: &Tensor) -> Tensor {
    crate::ops::CrossEntropy::new().reduction(Reduction::None).label_smoothing(0.1).apply(x, t).square()
}

/// Values and gradients of a loss of each two elements, on both classes of device.
fn at(x: &[f32], t: &[f32], op: impl Fn(&Tensor, &Tensor) -> Tensor) -> Vec<[Vec<f32>; 2]> {
    let graph = Graph::new(Mode::Infer);
    let inputs = [graph.input("x", [x.len()]), graph.input("t", [t.len()])];
    let loss = op(&inputs[0], &inputs[1]);
    let dx = gradients(&loss.sum_all(), &inputs[..1]).remove(0).unwrap();
    let arrays = [("x", Array::from_f32([x.len()], x).unwrap()), ("t", Array::from_f32([t.len()], t).unwrap())];
    let on = |class| {
        let target = context().target().with_class(class);
        let outputs = [("loss", &loss), ("dx", &dx)];
        let found = run_on(&graph, &outputs, &arrays, &target, PlanOptions::default()).unwrap();
        [found[0].to_f32(), found[1].to_f32()]
    };
    [DeviceClass::Software, DeviceClass::Portable].map(on).to_vec()
}

#[test]
fn large_logits_lose_nothing() {
    let (x, t) = ([1e4, -1e4, 1e4, -1e4, -30.0, 30.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5]);
    for [loss, dx] in at(&x, &t, |x, t| x.binary_cross_entropy_with_logits(t, Reduction::None)) {
        let small = 9.357_623e-14;
        for (i, expected) in [0.0, 0.0, 1e4, 1e4, small, small, 2f32.ln()].into_iter().enumerate() {
            assert!((loss[i] - expected).abs() <= 2e-6 * expected, "{i}: {} is not {expected}", loss[i]);
        }
        for (i, expected) in [0.0, 0.0, 1.0, -1.0, small, -small, 0.0].into_iter().enumerate() {
            assert!((dx[i] - expected).abs() <= 2e-6_f32.max(expected.abs() * 2e-6) * expected.abs(), "{i}: {}", dx[i]);
        }
    }
    for [loss, dx] in at(&[1e4, -1e4, f32::INFINITY], &[-1e4, 1e4, 0.0], |x, t| x.huber_loss(t, 1.0, Reduction::None)) {
        assert_eq!(loss, [19999.5, 19999.5, f32::INFINITY]);
        assert_eq!(dx, [1.0, -1.0, 1.0]);
    }
    for [loss, dx] in at(&[1e4, -1e4, 0.3], &[-1.0, 1.0, 0.0], |x, t| x.hinge_loss(t, Reduction::None)) {
        assert_eq!(loss, [10001.0, 10001.0, 1.0]);
        assert_eq!(dx, [1.0, -1.0, 0.0]);
    }
}

#[test]
fn probabilities_of_nothing_add_nothing() {
    for [loss, dx] in at(&[-1e4, f32::MIN, 0.5], &[0.0, 0.0, 1.0], |x, t| x.kl_div(t, false, Reduction::None)) {
        assert_eq!(loss, [0.0, 0.0, -0.5]);
        assert_eq!(dx, [0.0, 0.0, -1.0]);
    }
    let graph = Graph::new(Mode::Infer);
    let (x, t) = (graph.input("x", [2]), graph.input("t", [2]));
    let dt = gradients(&x.kl_div(&t, false, Reduction::Sum), &[t]).remove(0).unwrap();
    let arrays = ["x", "t"].map(|name| (name, Array::from_f32([2], &[0.0, 1.0]).unwrap()));
    assert_eq!(run(&graph, &[("dt", &dt)], &arrays).unwrap()[0].to_f32(), [0.0, 0.0]);
}

#[test]
fn a_target_that_is_no_class_gives_nan_in_its_row() {
    let graph = Graph::new(Mode::Infer);
    let (x, t) = (graph.input("x", [3, 2]), graph.input_of("t", [3], DType::U32));
    let numbers = Array::from_f32([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let inputs = [("x", numbers), ("t", Array::from_u32([3], &[1, 2, IGNORED]).unwrap())];
    let loss = x.nll_loss(&t, Reduction::None);
    let dx = gradients(&loss.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
    let margin = x.multi_margin_loss(&t, Reduction::None);
    let found = run(&graph, &[("loss", &loss), ("dx", &dx), ("margin", &margin)], &inputs).unwrap();
    let found: Vec<Vec<f32>> = found.iter().map(Array::to_f32).collect();
    assert!(found[0][0] == -2.0 && found[0][1].is_nan() && found[0][2] == 0.0, "{:?}", found[0]);
    assert!(found[1][..2] == [0.0, -1.0] && found[1][2].is_nan() && found[1][4..] == [0.0, 0.0], "{:?}", found[1]);
    assert!(found[2][0] == 0.0 && found[2][1].is_nan() && found[2][2].is_nan(), "{:?}", found[2]);
}

#[test]
fn nothing_has_no_mean_and_the_sum_0() {
    let graph = Graph::new(Mode::Infer);
    let (x, t) = (graph.input("x", [0, 3]), graph.input_of("t", [0], DType::U32));
    let outputs = [
        ("nll", &x.nll_loss(&t, Reduction::Mean)),
        ("nll sum", &x.nll_loss(&t, Reduction::Sum)),
        ("mse", &x.mse_loss(&x, Reduction::Mean)),
        ("margin", &x.multi_margin_loss(&t, Reduction::None)),
    ];
    let found: Vec<Vec<f32>> = run(&graph, &outputs, &[]).unwrap().iter().map(Array::to_f32).collect();
    assert!(found[0][0].is_nan() && found[1] == [0.0] && found[2][0].is_nan() && found[3].is_empty(), "{found:?}");
}

#[test]
fn halves_do_not_overflow_on_the_way() {
    if !context().target().f16 {
        return;
    }
    let graph = Graph::new(Mode::Infer);
    let (x, t) = (graph.input_of("x", [4096], DType::F16), graph.input_of("t", [4096], DType::F16));
    let loss = x.mse_loss(&t, Reduction::Mean);
    let arrays = [("x", 200.0), ("t", -30.0)]
        .map(|(name, value)| (name, Array::from_f32_as(DType::F16, [4096], &vec![value; 4096]).unwrap()));
    let found = run(&graph, &[("loss", &loss)], &arrays).unwrap();
    assert_eq!(found[0].to_f32(), [52_896.0]);
    assert_eq!(loss.dtype(), DType::F16);
}

#[test]
fn mistakes_name_the_loss_and_the_shapes() {
    let said = |loss: &dyn Fn(&Graph) -> Tensor| {
        let graph = Graph::new(Mode::Infer);
        assert!(loss(&graph).is_failed());
        graph.check().unwrap_err().message().to_owned()
    };
    let mean = Reduction::Mean;
    assert_eq!(
        said(&|graph| graph.input("x", [2, 3]).mse_loss(&graph.input("t", [3]), mean)),
        "mse_loss: shapes [2, 3] and [3] differ"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2]).l1_loss(&graph.input_of("t", [2], DType::U32), mean)),
        "l1_loss: needs floating point numbers of one type, not f32[2] and u32[2]"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2]).huber_loss(&graph.input("t", [2]), 0.0, mean)),
        "huber_loss: delta must be positive, not 0"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2]).smooth_l1_loss(&graph.input("t", [2]), -1.0, mean)),
        "smooth_l1_loss: beta must not be negative, not -1"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2, 3]).nll_loss(&graph.input_of("t", [3], DType::U32), mean)),
        "nll_loss: target [3] does not fit [2, 3], it must be [2]"
    );
    assert_eq!(
        said(&|graph| {
            let t = graph.input_of("t", [2], DType::U32);
            NllLoss::new().weight(&graph.input("w", [4])).apply(&graph.input("x", [2, 3]), &t)
        }),
        "nll_loss: weights f32[4] do not fit 3 classes"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2, 3, 4]).multi_margin_loss(&graph.input_of("t", [2, 4], DType::U32), mean)),
        "multi_margin_loss: scores must be [N, C], not [2, 3, 4]"
    );
    assert_eq!(
        said(&|graph| {
            let (x, w) = (graph.input("x", [3]), graph.input("w", [2, 3]));
            BinaryCrossEntropy::new().weight(&w).apply(&x, &graph.input("t", [3]))
        }),
        "binary_cross_entropy: weights make [2, 3] of losses [3]"
    );
    assert_eq!(
        said(&|graph| graph.input("x", [2, 3]).cross_entropy(&graph.input("t", [2]))),
        "cross_entropy: targets must be class indices, u32, or probabilities f32[2, 3] as the logits, not f32[2]"
    );
}
