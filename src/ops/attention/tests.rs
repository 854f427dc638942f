//! Attention and its gradients against an `f64` definition, and what no definition says: caches, memory, mistakes.

use super::Attention;
use crate::{
    autodiff::gradients,
    kernel::{DeviceClass, Target},
    ops::random::tests::philox,
    plan::PlanOptions,
    prelude::*,
    testing::{Check, Numbers, context, run_on},
};

/// Where a score stands: batch, head, query, key.
type Place = [usize; 4];

/// What an `f64` attention does with a score at a place.
struct Definition<'a> {
    scale: Option<f64>,
    /// Added; −∞ where the query does not see the key.
    add: Box<dyn Fn(Place) -> f64 + 'a>,
    /// What a weight is multiplied by.
    kept: Box<dyn Fn(Place) -> f64 + 'a>,
}

impl<'a> Definition<'a> {
    fn new(add: impl Fn(Place) -> f64 + 'a) -> Definition<'a> {
        Definition { scale: None, add: Box::new(add), kept: Box::new(|_| 1.0) }
    }

    /// softmax(scale·q·kᵀ + add)·v, zeros where nothing is seen.
    fn of(&self, [q, k, v]: [&Numbers; 3]) -> Numbers {
        let [batches, heads, queries, width] = <[usize; 4]>::try_from(&q.shape()[..]).unwrap();
        let [_, kv_heads, keys, value_width] = <[usize; 4]>::try_from(&v.shape()[..]).unwrap();
        let scale = self.scale.unwrap_or(1.0 / (width as f64).sqrt());
        let mut y = Vec::new();
        for row in 0..batches * heads * queries {
            let (b, h, i) = (row / queries / heads, row / queries % heads, row % queries);
            let of_k = (b * kv_heads + h / (heads / kv_heads)) * keys;
            let query = &q.data()[row * width..][..width];
            let logits: Vec<f64> = (0..keys)
                .map(|j| {
                    let add = (self.add)([b, h, i, j]);
                    let key = &k.data()[(of_k + j) * width..][..width];
                    let dot: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                    if add == f64::NEG_INFINITY { add } else { scale * dot + add }
                })
                .collect();
            let m = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|x| (x - m).exp()).sum();
            let mut sums = vec![0.0; value_width];
            for j in (0..keys).filter(|&j| logits[j] > f64::NEG_INFINITY) {
                let weight = (logits[j] - m).exp() / total * (self.kept)([b, h, i, j]);
                let value = &v.data()[(of_k + j) * value_width..][..value_width];
                sums.iter_mut().zip(value).for_each(|(sum, v)| *sum += weight * v);
            }
            y.extend(sums);
        }
        Numbers::new(q.shape().with(3, value_width), y)
    }
}

fn only(sees: bool) -> f64 {
    if sees { 0.0 } else { f64::NEG_INFINITY }
}

#[test]
fn it_matches_its_definition() {
    Check::new(
        |[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default()),
        |[q, k, v]| Definition::new(|_| 0.0).of([&q, &k, &v]),
    )
    .shapes([[1, 1, 1, 1]; 3])
    .shapes([[2, 3, 5, 8]; 3])
    .shapes([[1, 1, 3, 256]; 3])
    .shapes([[1, 2, 70, 64]; 3])
    .shapes([[2, 2, 33, 12], [2, 1, 129, 12], [2, 1, 129, 20]])
    .run();
}

#[test]
fn causal_masks_begin_at_the_first_or_end_at_the_last_key() {
    for from_end in [false, true] {
        for [queries, keys] in [[1, 1], [37, 37], [3, 70], [70, 3], [130, 130]] {
            let options = Attention { from_end, ..Attention::causal() };
            let sees = |[_, _, i, j]: Place| only(if from_end { j + queries <= i + keys } else { j <= i });
            Check::new(
                |[q, k, v]: [Tensor; 3]| q.attention(&k, &v, options.clone()),
                |[q, k, v]| Definition::new(sees).of([&q, &k, &v]),
            )
            .shapes([[1, 2, queries, 8], [1, 2, keys, 8], [1, 2, keys, 8]])
            .run();
        }
    }
}

/// A mask that leaves about three in four, reproducibly.
fn mask_of(shape: [usize; 4], seed: usize) -> Vec<u32> {
    (0..shape.iter().product()).map(|i| philox([i as u32, seed as u32, 0, 0], [7, 7])[0] % 4).map(|x| x.min(1)).collect()
}

/// The element of a broadcast array at a place.
fn at(shape: [usize; 4], place: Place) -> usize {
    (0..4).fold(0, |flat, d| flat * shape[d] + place[d] % shape[d])
}

/// Attention with a bias (the fourth input), a mask and lengths against its definition.
#[track_caller]
fn check(shapes: [[usize; 4]; 4], mask: Option<[usize; 4]>, lengths: Option<&[u32]>, options: Attention) {
    let [q, k, ..] = shapes;
    let numbers = mask.map(|shape| mask_of(shape, 1));
    let (causal, from_end) = (options.causal, options.from_end);
    let sees = |place: Place| {
        let [b, _, i, j] = place;
        let length = lengths.map_or(k[2], |lengths| k[2].min(lengths[b] as usize));
        let (ahead, behind) = if from_end { (length, q[2]) } else { (0, 0) };
        let unmasked = numbers.as_ref().is_none_or(|numbers| numbers[at(mask.unwrap(), place)] != 0);
        j < length && (!causal || j + behind <= i + ahead) && unmasked
    };
    let scale = options.scale.map(f64::from);
    let mut check = Check::new(
        |[q, k, v, bias]: [Tensor; 4]| {
            let graph = q.graph();
            let mut options = options.clone().bias(&bias);
            options.mask = mask.map(|shape| graph.input_of("mask", shape, DType::U32));
            options.lengths = lengths.map(|lengths| graph.input_of("lengths", [lengths.len()], DType::U32));
            q.attention(&k, &v, options)
        },
        |[q, k, v, bias]| {
            let shape = shapes[3];
            let add = |place| if sees(place) { bias.data()[at(shape, place)] } else { f64::NEG_INFINITY };
            Definition { scale, ..Definition::new(add) }.of([&q, &k, &v])
        },
    );
    if let (Some(shape), Some(numbers)) = (mask, &numbers) {
        check = check.index("mask", shape, numbers);
    }
    if let Some(lengths) = lengths {
        check = check.index("lengths", [lengths.len()], lengths);
    }
    check.shapes(shapes).run();
}

#[test]
fn masks_biases_and_lengths_in_every_broadcast() {
    let (b, h, t, s) = (2, 4, 19, 35);
    let [q, k, v] = [[b, h, t, 8], [b, 2, s, 8], [b, 2, s, 12]];
    let plain = Attention::default;
    let one = [1; 4];
    check([q, k, v, [b, h, t, s]], None, None, plain());
    check([q, k, v, [1, h, t, s]], None, None, plain().scale(0.7));
    check([q, k, v, [b, 1, 1, s]], None, None, plain());
    check([q, k, v, [1, h, 1, s]], None, None, Attention::causal());
    check([q, k, v, [b, 1, t, 1]], None, None, plain());
    check([q, k, v, one], Some([b, 1, 1, s]), None, plain());
    check([q, k, v, one], Some([1, h, t, s]), None, plain());
    check([q, k, v, one], Some([b, h, t, 1]), None, plain());
    check([q, k, v, one], None, Some(&[35, 4]), plain());
    check([q, k, v, one], None, Some(&[20, 0]), Attention::causal().from_end());
    check([q, k, v, [1, h, t, s]], Some([b, 1, t, s]), Some(&[17, 99]), Attention::causal());
}

#[test]
fn heads_of_every_width() {
    for width in [1, 24, 40, 72, 80, 96, 112, 128, 160, 192, 255] {
        let [q, k] = [[1, 4, 9, width], [1, 2, 19, width]];
        check([q, k, k, [1; 4]], None, Some(&[17]), Attention::causal().from_end());
    }
}

#[test]
fn random_shapes_and_options() {
    for case in 0..24 {
        let word = |i: u32| philox([case, i, 0, 0], [3, 3])[0] as usize;
        let pick = |i: u32, from: usize, to: usize| from + word(i) % (to + 1 - from);
        let (b, shared, sharing) = (pick(0, 1, 2), pick(1, 1, 2), pick(2, 1, 3));
        let (t, s, d, dv) = (pick(3, 1, 24), pick(4, 1, 30), pick(5, 1, 18), pick(6, 1, 18));
        let h = shared * sharing;
        let some = |i: u32| {
            let one_or = |bit: u32, size: usize| if word(i) >> bit & 1 == 1 { size } else { 1 };
            [one_or(4, b), one_or(5, h), one_or(6, t), one_or(7, s)]
        };
        let lengths: Vec<u32> = (0..b).map(|i| pick(20 + i as u32, 0, s + 1) as u32).collect();
        let options = Attention { causal: word(7) & 8 > 0, from_end: word(8) & 8 > 0, ..Attention::default() };
        check(
            [[b, h, t, d], [b, shared, s, d], [b, shared, s, dv], some(9)],
            (word(10) & 8 > 0).then(|| some(11)),
            (word(12) & 8 > 0).then_some(&lengths),
            options,
        );
    }
}

#[test]
fn fewer_dimensions_and_heads_last_are_the_same_numbers() {
    let definition = |[q, k, v]: [Numbers; 3]| {
        let four = |x: &Numbers| match x.shape()[..] {
            [t, d] => x.reshape([1, 1, t, d]),
            [n, t, d] => x.reshape([n, 1, t, d]),
            _ => Numbers::from_fn([x.shape()[0], x.shape()[2], x.shape()[1], x.shape()[3]], |at| {
                x.at(&[at[0], at[2], at[1], at[3]])
            }),
        };
        let y = Definition::new(|_| 0.0).of([&four(&q), &four(&k), &four(&v)]);
        let last = v.shape()[v.shape().rank() - 1];
        if q.shape().rank() < 4 { y.reshape(q.shape().with(q.shape().rank() - 1, last)) } else { four(&y) }
    };
    Check::new(|[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default()), definition)
        .shapes([[9, 8], [6, 8], [6, 4]])
        .shapes([[3, 9, 8], [3, 6, 8], [3, 6, 4]])
        .run();
    Check::new(|[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default().heads_last()), definition)
        .shapes([[2, 9, 4, 8], [2, 20, 2, 8], [2, 20, 2, 8]])
        .run();
}

/// Runs attention of [1, 1, T, 4] with a bias, with gradients of Σ y of everything, in both classes.
fn run(inputs: [(&[f32], [usize; 4]); 4], then: impl Fn(DeviceClass, [Vec<f32>; 5])) {
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let graph = Graph::new(Mode::Infer);
        let names = ["q", "k", "v", "bias"];
        let [q, k, v, bias] = [0, 1, 2, 3].map(|i| graph.input(names[i], inputs[i].1));
        let y = q.attention(&k, &v, Attention::default().bias(&bias));
        let slopes = gradients(&y.sum_all(), &[q, k, v, bias]);
        let outputs: Vec<(&str, &Tensor)> =
            std::iter::once(("y", &y)).chain(["dq", "dk", "dv", "db"].into_iter().zip(slopes.iter().flatten())).collect();
        let written: Vec<(&str, Array)> =
            (0..4).map(|i| (names[i], Array::from_f32(inputs[i].1, inputs[i].0).unwrap())).collect();
        let target = context().target().with_class(class);
        let found = run_on(&graph, &outputs, &written, &target, PlanOptions::default()).unwrap();
        then(class, std::array::from_fn(|i| found[i].to_f32()));
    }
}

#[test]
fn a_row_that_sees_nothing_is_zero_and_has_no_gradient() {
    let (inf, x) = (f32::INFINITY, [0.5, -1.0, 2.0, 1.0, 3.0, 1.0, -2.0, 0.0]);
    let shape = [1, 1, 2, 4];
    run([(&x, shape), (&x, shape), (&x, shape), (&[-inf, -inf, -inf, 0.0], [1, 1, 2, 2])], |class, [y, dq, dk, dv, db]| {
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 3.0, 1.0, -2.0, 0.0], "{class:?}");
        assert_eq!((dq, dk), (vec![0.0; 8], vec![0.0; 8]), "{class:?}");
        assert_eq!(dv, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], "{class:?}");
        assert_eq!(db, [0.0; 4], "{class:?}");
    });
}

#[test]
fn large_logits_lose_nothing_and_nan_stays_in_its_row() {
    let shape = [1, 1, 2, 4];
    let (q, v) = ([200.0, 0.0, 0.0, 0.0, -200.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let k = [100.0, 0.0, 0.0, 0.0, -100.0, 0.0, 0.0, 0.0];
    // Logits of ±10⁴ choose one key each.
    run([(&q, shape), (&k, shape), (&v, shape), (&[0.0], [1; 4])], |class, [y, dq, dk, dv, db]| {
        assert_eq!(y, v, "{class:?}");
        assert_eq!((dq, dk, db), (vec![0.0; 8], vec![0.0; 8], vec![0.0]), "{class:?}");
        assert_eq!(dv, [1.0; 8], "{class:?}");
    });
    // Equal ones of 10⁴ share alike.
    let same = [100.0, 0.0, 0.0, 0.0, 100.0, 0.0, 0.0, 0.0];
    run([(&q, shape), (&same, shape), (&v, shape), (&[0.0], [1; 4])], |class, [y, ..]| {
        assert!(y.iter().zip([3.0, 4.0, 5.0, 6.0].repeat(2)).all(|(y, e)| (y - e).abs() < 1e-5), "{class:?} {y:?}");
    });
    let mut nan = q;
    nan[1] = f32::NAN;
    run([(&nan, shape), (&k, shape), (&v, shape), (&[0.0], [1; 4])], |class, [y, ..]| {
        assert!(y[..4].iter().all(|y| y.is_nan()) && y[4..] == v[4..], "{class:?} {y:?}");
    });
    let mut nan = k;
    nan[5] = f32::NAN;
    run([(&q, shape), (&nan, shape), (&v, shape), (&[0.0], [1; 4])], |class, [y, ..]| {
        assert!(y.iter().all(|y| y.is_nan()), "{class:?} {y:?}");
    });
}

#[test]
fn keys_past_the_length_do_not_count_whatever_they_hold() {
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let graph = Graph::new(Mode::Infer);
        let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, [1, 1, 70, 4]));
        let y = q.attention(&k, &v, Attention::default().lengths(&graph.input_of("n", [1], DType::U32)));
        let mut outputs = vec![y.clone()];
        outputs.extend(gradients(&y.sum_all(), &[q, k, v]).into_iter().flatten());
        let names = ["y", "dq", "dk", "dv"];
        let named: Vec<(&str, &Tensor)> = names.into_iter().zip(&outputs).collect();
        let mut x = vec![1.0; 280];
        let clean = Array::from_f32([1, 1, 70, 4], &x).unwrap();
        x[4 * 66..].fill(f32::NAN);
        let stale = Array::from_f32([1, 1, 70, 4], &x).unwrap();
        let inputs =
            [("q", clean), ("k", stale.clone()), ("v", stale), ("n", Array::from_u32([1], &[66]).unwrap())];
        let target = context().target().with_class(class);
        let found = run_on(&graph, &named, &inputs, &target, PlanOptions::default()).unwrap();
        assert!(found[0].to_f32().iter().all(|y| (y - 1.0).abs() < 1e-5), "{class:?}");
        for slope in &found[1..] {
            assert!(slope.to_f32().iter().all(|x| x.is_finite()), "{class:?}");
        }
    }
}

/// What dropout multiplies the weight at a place by, with seed 1 in step 0.
fn kept(probability: f64, stream: u32, [heads, queries]: [usize; 2], [b, h, i, j]: Place) -> f64 {
    let row = (b * heads + h) * queries.div_ceil(4) + i / 4;
    let last = (j / 4 * 2 + j % 4 / 2) as u32 | 1 << 31;
    let word = philox([row as u32, stream, 0, last], [1, 0])[i % 4];
    let half = if j % 2 == 0 { word & 0xffff } else { word >> 16 };
    if f64::from(half) < ((1.0 - probability) * 65_536.0).round() { 1.0 / (1.0 - probability) } else { 0.0 }
}

#[test]
fn dropout_is_that_of_the_generator_in_both_directions() {
    let shapes = [[2, 2, 21, 8], [2, 1, 70, 8], [2, 1, 70, 8]];
    Check::new(
        |[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default().dropout(0.25)),
        |[q, k, v]| {
            let kept = |place| kept(0.25, 1, [2, 21], place);
            Definition { kept: Box::new(kept), ..Definition::new(|_| 0.0) }.of([&q, &k, &v])
        },
    )
    .shapes(shapes)
    .mode(Mode::Train)
    .run();
    Check::new(
        |[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default().dropout(0.25)),
        |[q, k, v]| Definition::new(|_| 0.0).of([&q, &k, &v]),
    )
    .shapes(shapes)
    .run();
    let kept: Vec<f64> = (0..100_000).map(|j| kept(0.25, 1, [1, 1], [0, 0, 0, j])).collect();
    assert!((kept.iter().sum::<f64>() / 100_000.0 - 1.0).abs() < 0.01);
}

#[test]
fn tokens_from_a_cache_are_those_of_the_whole_sequence() {
    let (b, h, shared, d, prompt, all) = (2, 4, 2, 8, 3, 11);
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let target = context().target().with_class(class);
        let numbers = |heads: usize, seed: u32| -> Vec<f32> {
            let word = |i: usize| philox([i as u32, seed, 0, 0], [5, 5])[0];
            (0..b * heads * all * d).map(|i| word(i) as f32 / u32::MAX as f32 * 2.0 - 1.0).collect()
        };
        let [q, k, v] = [numbers(h, 1), numbers(shared, 2), numbers(shared, 3)];
        let graph = Graph::new(Mode::Infer);
        let whole = [("q", h), ("k", shared), ("v", shared)].map(|(name, heads)| graph.input(name, [b, heads, all, d]));
        let y = whole[0].attention(&whole[1], &whole[2], Attention::causal());
        let inputs = [("q", &q, h), ("k", &k, shared), ("v", &v, shared)]
            .map(|(name, x, heads)| (name, Array::from_f32([b, heads, all, d], x).unwrap()));
        let expected = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap()[0].to_f32();

        // A plan for the prompt and one for every token after it, on the same weights.
        let plan = |count: usize| {
            let graph = Graph::new(Mode::Infer);
            let [q, k, v] =
                [("q", h), ("k", shared), ("v", shared)].map(|(name, heads)| graph.input(name, [b, heads, count, d]));
            let cache =
                |name: &str| graph.state(name, TensorDesc::new([b, shared, all + 1, d], DType::F32), Init::zeros());
            let length = graph.state("length", TensorDesc::new([b], DType::U32), Init::zeros());
            let k = graph.append_rows(&cache("k_cache"), &k, &length);
            let v = graph.append_rows(&cache("v_cache"), &v, &length);
            let length = graph.advance(&length, count as u32);
            let y = q.attention(&k, &v, Attention::causal().from_end().lengths(&length));
            graph.plan(&[("y", &y)], &target).unwrap()
        };
        let weights = Weights::init(context(), &plan(prompt), 1).unwrap();
        let sessions = [prompt, 1].map(|count| (count, Session::new(context(), plan(count), &weights).unwrap()));
        let mut first = 0;
        while first < all {
            let (count, session) = &sessions[usize::from(first > 0)];
            let part = |x: &[f32], heads: usize| -> Array {
                let rows = |head: usize| &x[(head * all + first) * d..][..count * d];
                let numbers: Vec<f32> = (0..b * heads).flat_map(rows).copied().collect();
                Array::from_f32([b, heads, *count, d], &numbers).unwrap()
            };
            for (name, x, heads) in [("q", &q, h), ("k", &k, shared), ("v", &v, shared)] {
                session.write(name, &part(x, heads)).unwrap();
            }
            session.run().unwrap();
            let found = session.read_blocking("y").unwrap().to_f32();
            let expected = part(&expected, h).to_f32();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{class:?}, token {first}: {found}, not {expected}");
            }
            first += count;
        }
        assert_eq!(weights.read("length").unwrap().to_u32(), [all as u32; 2]);
    }
}

#[test]
fn rows_go_where_each_batch_says_and_no_further() {
    let graph = Graph::new(Mode::Infer);
    let cache = graph.state("cache", TensorDesc::new([3, 1, 4, 2], DType::F32), Init::zeros());
    let at = graph.input_of("at", [3], DType::U32);
    graph.append_rows(&cache, &graph.input("x", [3, 1, 2, 2]), &at);
    let plan = graph.plan(&[], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 1).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    let x: Vec<f32> = (1..=12_u8).map(f32::from).collect();
    session.write("x", &Array::from_f32([3, 1, 2, 2], &x).unwrap()).unwrap();
    session.write("at", &Array::from_u32([3], &[1, 3, u32::MAX]).unwrap()).unwrap();
    session.run().unwrap();
    let mut expected = [0.0; 24];
    expected[2..6].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    expected[14..16].copy_from_slice(&[5.0, 6.0]);
    assert_eq!(weights.read("cache").unwrap().to_f32(), expected);
}

#[test]
fn memory_is_linear_in_the_length() {
    let bytes = [1024, 2048, 4096].map(|t| {
        let graph = Graph::new(Mode::Train);
        let [q, k, v] = ["q", "k", "v"].map(|name| graph.parameter(name, [1, 8, t, 64], Init::normal(1.0)));
        let loss = q.attention(&k, &v, Attention::causal().dropout(0.1)).square().mean_all();
        let slopes = gradients(&loss, &[q, k, v]);
        let outputs: Vec<(&str, &Tensor)> =
            ["dq", "dk", "dv"].into_iter().zip(slopes.iter().flatten()).chain([("loss", &loss)]).collect();
        let memory = graph.plan(&outputs, context().target()).unwrap().memory();
        (memory.total() - memory.uniforms) as f64
    });
    // At 4096 one head's weights alone would be 64 MiB.
    assert!(bytes[2] < 100e6, "{bytes:?}");
    assert!((bytes[1] / bytes[0] - 2.0).abs() < 0.05 && (bytes[2] / bytes[1] - 2.0).abs() < 0.05, "{bytes:?}");
}

#[test]
fn nothing_to_attend_to_or_from() {
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        for [queries, keys] in [[0, 3], [3, 0], [0, 0]] {
            let graph = Graph::new(Mode::Infer);
            let q = graph.parameter("q", [1, 1, queries, 4], Init::ones());
            let [k, v] = ["k", "v"].map(|name| graph.parameter(name, [1, 1, keys, 4], Init::ones()));
            let y = q.attention(&k, &v, Attention::default());
            let slopes = gradients(&y.sum_all(), &[q, k, v]);
            let outputs: Vec<(&str, &Tensor)> =
                ["y", "dq", "dk", "dv"].into_iter().zip(std::iter::once(&y).chain(slopes.iter().flatten())).collect();
            let target = context().target().with_class(class);
            let found = run_on(&graph, &outputs, &[], &target, PlanOptions::default()).unwrap();
            let lengths = [queries, queries, keys, keys];
            for (found, rows) in found.iter().zip(lengths) {
                assert_eq!(found.to_f32(), vec![0.0; 4 * rows], "{class:?} {queries} {keys}");
            }
        }
    }
}

#[test]
fn mistakes_name_shapes() {
    let message = |shapes: [&[usize]; 3], options: &dyn Fn(&Graph) -> Attention| {
        let graph = Graph::new(Mode::Train);
        let [q, k, v] = [0, 1, 2].map(|i| graph.input(["q", "k", "v"][i], shapes[i]));
        q.attention(&k, &v, options(&graph));
        graph.check().unwrap_err().message().to_owned()
    };
    let plain = |_: &Graph| Attention::default();
    let four: [&[usize]; 3] = [&[2, 4, 5, 8]; 3];
    for (shapes, expected) in [
        ([&[8][..]; 3], "attention: needs q [B, H, T, D], [B, T, D] or [T, D], not [8]"),
        ([&[5, 8], &[6, 8], &[7, 8]], "attention: q [5, 8], k [6, 8] and v [7, 8] do not fit"),
        (
            [&[2, 4, 5, 8], &[2, 3, 5, 8], &[2, 3, 5, 8]],
            "attention: q [2, 4, 5, 8], k [2, 3, 5, 8] and v [2, 3, 5, 8] do not fit",
        ),
    ] {
        assert_eq!(message(shapes, &plain), expected);
    }
    let mask = |shape: &'static [usize], dtype| {
        move |graph: &Graph| Attention::default().mask(&graph.input_of("mask", shape, dtype))
    };
    assert_eq!(
        message(four, &mask(&[5, 5], DType::F32)),
        "attention: a mask is u32, not f32[5, 5]; numbers to add are a bias"
    );
    assert_eq!(
        message(four, &mask(&[4, 5], DType::U32)),
        "attention: mask [4, 5] does not broadcast to [2, 4, 5, 5]"
    );
    assert_eq!(
        message(four, &|graph| Attention::default().lengths(&graph.input_of("n", [3], DType::U32))),
        "attention: lengths are u32[2], not u32[3]"
    );
    assert_eq!(message(four, &|_| Attention::default().dropout(2.0)), "attention: probability 2 is not from 0 to 1");
    let graph = Graph::new(Mode::Infer);
    let x = graph.parameter("x", [2, 4], Init::ones());
    let first = gradients(&x.attention(&x, &x, Attention::default()).sum_all(), std::slice::from_ref(&x));
    gradients(&first[0].clone().unwrap().sum_all(), &[x]);
    assert!(graph.check().unwrap_err().message().contains("attention_grad"));
    let graph = Graph::new(Mode::Infer);
    let [q, k] = [("q", 1), ("k", 60_000)].map(|(name, rows)| graph.input(name, [rows, 64]));
    let y = q.attention(&k, &k, Attention::default());
    let target = context().target();
    assert!(graph.plan(&[("y", &y)], &target.with_class(DeviceClass::Portable)).is_ok());
    let error = graph.plan(&[("y", &y)], &target.with_class(DeviceClass::Software)).unwrap_err();
    let expected = "attention: 1 queries and 60000 keys are more than a software driver can go through";
    assert_eq!(error.message(), expected);
    let graph = Graph::new(Mode::Infer);
    graph.append_rows(&graph.input("c", [2, 1, 9, 4]), &graph.input("x", [2, 1, 3, 5]), &graph.input_of("at", [2], DType::U32));
    let expected = "append_rows: needs a cache [B, H, Tmax, D], rows [B, H, T, D] and positions [B] or [], not [2, 1, 9, 4], [2, 1, 3, 5] and [2]";
    assert_eq!(graph.check().unwrap_err().message(), expected);
}

#[test]
fn software_drivers_without_subgroups_compute_the_same() {
    let graph = Graph::new(Mode::Infer);
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.parameter(name, [2, 2, 70, 12], Init::normal(1.0)));
    let lengths = graph.input_of("n", [2], DType::U32);
    let y = q.attention(&k, &v, Attention::causal().lengths(&lengths));
    let slopes = gradients(&y.square().sum_all(), &[q, k, v]);
    let outputs: Vec<(&str, &Tensor)> =
        ["y", "dq", "dk", "dv"].into_iter().zip(std::iter::once(&y).chain(slopes.iter().flatten())).collect();
    let software = context().target().with_class(DeviceClass::Software);
    let [with, without] = [true, false].map(|subgroups| {
        let target = Target { subgroups: subgroups && software.subgroups, ..software.clone() };
        let lengths = Array::from_u32([2], &[66, 3]).unwrap();
        run_on(&graph, &outputs, &[("n", lengths)], &target, PlanOptions::default()).unwrap()
    });
    for ((name, _), (with, without)) in outputs.iter().zip(with.iter().zip(&without)) {
        for (a, b) in with.to_f32().iter().zip(without.to_f32()) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{name}: {a} and {b}");
        }
    }
}

#[test]
fn sequences_take_over_the_rows_of_their_neighbours() {
    let (rows, heads, most, width, group) = (6, 2, 5, 3, 3);
    for dtype in [DType::F32, DType::F16] {
        let graph = Graph::new(Mode::Infer);
        let desc = TensorDesc::new([rows, heads, most, width], dtype);
        let cache = graph.state("cache", desc.clone(), Init::zeros());
        let [source, seen] = ["source", "seen"].map(|name| graph.input_of(name, [rows], DType::U32));
        graph.exchange_rows(&cache, &source, &seen, group);
        let plan = graph.plan(&[], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let numbers: Vec<f32> = (0..rows * heads * most * width).map(|i| i as f32).collect();
        weights.write("cache", &Array::from_f32_as(dtype, desc.shape, &numbers).unwrap()).unwrap();
        let (from, counts) = ([2, 2, 0, 0, 1, 1], [4_u32, 4, 4, 2, 2, 2]);
        session.write("source", &Array::from_u32([rows], &from).unwrap()).unwrap();
        session.write("seen", &Array::from_u32([rows], &counts).unwrap()).unwrap();
        session.run().unwrap();
        let found = weights.read("cache").unwrap().to_f32();
        for (i, found) in found.iter().enumerate() {
            let (row, place) = (i / (heads * most * width), i % (heads * most * width));
            let moved = place / width % most < counts[row] as usize;
            let of = if moved { row / group * group + from[row] as usize } else { row };
            assert_eq!(*found, numbers[of * heads * most * width + place], "{dtype} {i}");
        }
    }
    let graph = Graph::new(Mode::Infer);
    let cache = graph.state("cache", TensorDesc::new([4, 1, 2, 2], DType::F32), Init::zeros());
    let ids = graph.input_of("ids", [4], DType::U32);
    graph.exchange_rows(&cache, &ids, &ids, 3);
    let expected = "exchange_rows: 4 sequences are not in groups of 3, or these are more than 32";
    assert_eq!(graph.check().unwrap_err().message(), expected);
}
