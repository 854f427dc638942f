//! Convolution against its definition, over odd sizes, random attributes and every kernel variant.

use super::*;
use crate::{
    autodiff::gradients,
    data::Array,
    graph::{Graph, Mode},
    kernel::DeviceClass,
    plan::PlanOptions,
    testing::{Check, Numbers, context, run_on},
};
use proptest::prelude::*;

/// The definition, with zeros outside the image.
fn definition(x: &Numbers, w: &Numbers, options: Conv2d) -> Numbers {
    let sizes = Sizes::new(&options, x.shape(), w.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
    let rank = x.shape().rank();
    let Conv2d { stride, padding, dilation, .. } = options;
    let [height, width] = sizes.image;
    let window = sizes.kernel[0] * sizes.kernel[1];
    Numbers::from_fn(sizes.output(rank), |y| {
        let [filter, i, j] = [y[rank - 3], y[rank - 2], y[rank - 1]];
        let image = if rank == 4 { y[0] } else { 0 };
        let mut sum = 0.0;
        for c in 0..sizes.inputs {
            let channel = image * sizes.groups * sizes.inputs + filter / sizes.outputs * sizes.inputs + c;
            for r in 0..sizes.kernel[0] {
                for s in 0..sizes.kernel[1] {
                    let row = (i * stride[0] + r * dilation[0]).wrapping_sub(padding[0]);
                    let column = (j * stride[1] + s * dilation[1]).wrapping_sub(padding[1]);
                    if row < height && column < width {
                        let tap = (filter * sizes.inputs + c) * window + r * sizes.kernel[1] + s;
                        sum += x.data()[(channel * height + row) * width + column] * w.data()[tap];
                    }
                }
            }
        }
        sum
    })
}

fn check(x: &[usize], w: &[usize], options: Conv2d) {
    Check::new(move |[x, w]| x.conv2d(&w, None, options), move |[x, w]| definition(&x, &w, options))
        .shapes([x, w])
        .run();
}

#[test]
fn equals_its_definition() {
    let plain = Conv2d::default();
    check(&[1, 1, 1, 1], &[1, 1, 1, 1], plain);
    check(&[3, 5, 4, 4], &[7, 5, 1, 1], plain);
    check(&[2, 3, 5, 7], &[4, 3, 3, 2], plain);
    check(&[3, 5, 7], &[4, 3, 3, 2], plain);
    check(&[2, 3, 9, 7], &[17, 3, 3, 3], plain.padding([1, 2]));
    check(&[2, 3, 5, 5], &[4, 3, 5, 5], plain);
    check(&[1, 2, 11, 12], &[3, 2, 3, 3], plain.stride([1, 2]).padding([2, 1]).dilation([2, 3]));
    check(&[1, 3, 19, 19], &[8, 3, 11, 11], plain.stride([4, 4]).padding([2, 2]));
    check(&[1, 2, 9, 8], &[3, 2, 1, 2], plain.stride([3, 4]));
    check(&[1, 1, 4, 1], &[2, 1, 3, 1], plain.padding([1, 0]));
}

#[test]
fn groups_see_only_their_channels() {
    let options = Conv2d::default().padding([1, 1]);
    check(&[2, 4, 8, 8], &[4, 1, 3, 3], options.groups(4));
    check(&[2, 6, 5, 6], &[9, 2, 2, 3], options.groups(3).stride([3, 2]).dilation([2, 1]));
    check(&[1, 4, 6, 6], &[36, 2, 3, 3], options.groups(2));
}

#[test]
fn bias_is_added_once() {
    // The second shape cuts the sum into parts.
    for (x, w) in [([2, 4, 5, 6], [6, 2, 3, 3]), ([1, 2, 40, 40], [6, 1, 39, 39])] {
        let options = Conv2d::default().groups(2);
        Check::new(
            move |[x, w, b]| x.conv2d(&w, Some(&b), options),
            move |[x, w, b]| definition(&x, &w, options).zip(&b.reshape([6, 1, 1]), |y, b| y + b),
        )
        .shapes([&x[..], &w, &[6]])
        .range(-1.0, 1.0)
        .run();
    }
}

#[test]
fn spans_many_workgroups_and_blocks() {
    check(&[3, 9, 17, 19], &[70, 9, 3, 3], Conv2d::default().padding([1, 1]));
    check(&[40, 2, 8, 8], &[40, 2, 3, 3], Conv2d::default().stride([2, 2]));
}

/// A thread of Mesa's software driver stops its loops after 65,535 iterations, so long sums are cut into parts.
#[test]
fn long_sums_are_complete() {
    let plain = |[x, w]: [Tensor; 2]| x.conv2d(&w, None, Conv2d::default());
    let sums = |[x, w]: [Numbers; 2]| definition(&x, &w, Conv2d::default());
    Check::new(plain, sums)
        .shapes([[1, 8000, 3, 3], [1, 8000, 3, 3]])
        .shapes([[1, 1, 1, 70_000], [1, 1, 1, 2]])
        .no_half()
        .run();
    // Enough pixels that the work is not cut for the sake of speed, and numbers that add up without rounding.
    let graph = Graph::new(Mode::Infer);
    let (x, w) = (graph.input("x", [1, 4, 162, 162]), graph.input("w", [1, 4, 130, 130]));
    let y = x.conv2d(&w, None, Conv2d::default());
    let ones = |shape: [usize; 4]| Array::from_f32(shape, &vec![1.0; shape.iter().product()]).unwrap();
    let inputs = [("x", ones([1, 4, 162, 162])), ("w", ones([1, 4, 130, 130]))];
    let target = context().target().with_class(DeviceClass::Software);
    let found = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap();
    assert_eq!(found[0].to_f32(), vec![4.0 * 130.0 * 130.0; 33 * 33]);
}

fn ints(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn equals_its_definition_for_random_attributes(
        (batch, groups, inputs, outputs) in (1usize..4, 1usize..4, 1usize..5, 1usize..12),
        (kernel, stride, dilation) in (ints(1..=4), ints(1..=4), ints(1..=3)),
        (padding, extra) in (ints(0..=3), ints(0..=9)),
    ) {
        // The smallest image that a window fits, and a bit more.
        let size = |axis: usize| ((kernel[axis] - 1) * dilation[axis] + 1 + extra[axis]).saturating_sub(2 * padding[axis]).max(1);
        let options = Conv2d { stride, padding, dilation, groups };
        check(&[batch, groups * inputs, size(0), size(1)], &[groups * outputs, inputs, kernel[0], kernel[1]], options);
    }
}

/// An array of numbers between −1 and 1.
fn array(dtype: DType, shape: &[usize], seed: usize) -> Array {
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|i: usize| ((i * 7 + seed) * 2654435761 % 2001) as f32 / 1000.0 - 1.0)
        .collect();
    Array::from_f32_as(dtype, shape, &numbers).unwrap()
}

/// y with bias and ReLU and all gradients, on a target, in `f32`.
fn outputs(target: &Target, options: PlanOptions) -> Vec<Vec<f32>> {
    let graph = Graph::new(Mode::Train);
    let shapes: [&[usize]; 3] = [&[3, 4, 9, 10], &[20, 2, 3, 3], &[20]];
    let [x, w, b] = [0, 1, 2].map(|i| graph.input(["x", "w", "b"][i], shapes[i]));
    let y = x.conv2d(&w, Some(&b), Conv2d::default().groups(2).stride([2, 1]).padding([1, 1])).relu();
    let loss = y.mul(&y).sum_all();
    let found = gradients(&loss, &[x, w, b]);
    let [dx, dw, db] = [0, 1, 2].map(|i| found[i].clone().unwrap());
    let inputs: Vec<(&str, Array)> = (0..3).map(|i| (["x", "w", "b"][i], array(DType::F32, shapes[i], i))).collect();
    let named = [("y", &y), ("dx", &dx), ("dw", &dw), ("db", &db)];
    run_on(&graph, &named, &inputs, target, options).unwrap().iter().map(Array::to_f32).collect()
}

#[test]
fn every_variant_gives_the_same_and_fused_equals_unfused() {
    let target = context().target();
    let first = outputs(target, PlanOptions::default());
    let without = Target { subgroups: false, ..target.with_class(DeviceClass::Software) };
    let variants = [target.with_class(DeviceClass::Software), without, target.with_class(DeviceClass::Portable)];
    for target in &variants {
        for fuse in [true, false] {
            let other = outputs(target, PlanOptions { fuse });
            for (a, b) in first.iter().zip(&other).flat_map(|(a, b)| a.iter().zip(b)) {
                assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} against {b} on {target:?}, fused: {fuse}");
            }
        }
    }
}

#[test]
fn bias_and_activation_run_in_the_kernel() {
    let target = context().target();
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let graph = Graph::new(Mode::Infer);
        let (x, w, b) = (graph.input("x", [1, 3, 8, 8]), graph.input("w", [4, 3, 3, 3]), graph.input("b", [4]));
        let y = x.conv2d(&w, Some(&b), Conv2d::default()).relu();
        let plan = graph.plan(&[("y", &y)], &target.with_class(class)).unwrap();
        // Software drivers pack the weights first.
        let expected = if class == DeviceClass::Software { 2 } else { 1 };
        assert_eq!(plan.kernels().count(), expected, "{class:?}");
    }
}

#[test]
fn gradients_have_gradients() {
    // L = Σ (∂(Σ y·v)/∂x)·g has ∂L/∂w = dw(g, v) and ∂L/∂v = conv(g, w); likewise through dw.
    let options = Conv2d::default().stride([2, 1]).padding([1, 0]).dilation([1, 2]).groups(2);
    let (x, w) = ([2, 4, 7, 8], [6, 2, 3, 2]);
    let y = Sizes::new(&options, &x.into(), &w.into()).unwrap().output(4);
    let data = BackwardData { options, x: x.into() };
    Check::new(
        move |[v, w]: [Tensor; 2]| {
            v.graph().apply1(BackwardData { options: data.options, x: data.x.clone() }, &[&v, &w])
        },
        move |[v, w]| transpose(&v, &w, options, x.into()),
    )
    .shapes([y.clone(), w.into()])
    .run();
    Check::new(
        move |[x, v]: [Tensor; 2]| x.graph().apply1(BackwardWeight { options, weight: w.into() }, &[&x, &v]),
        move |[x, v]| weight_gradient(&x, &v, options, w.into()),
    )
    .shapes([x.into(), y])
    .run();
}

/// dx by its definition: Σ v · ∂y/∂x, one element of x at a time.
fn transpose(v: &Numbers, w: &Numbers, options: Conv2d, x: Shape) -> Numbers {
    let mut flat = 0;
    Numbers::from_fn(x.clone(), |_| {
        let unit = Numbers::new(x.clone(), (0..x.numel()).map(|i| f64::from(u8::from(i == flat))).collect());
        flat += 1;
        definition(&unit, w, options).zip(v, |a, b| a * b).sum()
    })
}

/// dw by its definition: Σ v · ∂y/∂w, one element of w at a time.
fn weight_gradient(x: &Numbers, v: &Numbers, options: Conv2d, w: Shape) -> Numbers {
    let mut flat = 0;
    Numbers::from_fn(w.clone(), |_| {
        let unit = Numbers::new(w.clone(), (0..w.numel()).map(|i| f64::from(u8::from(i == flat))).collect());
        flat += 1;
        definition(x, &unit, options).zip(v, |a, b| a * b).sum()
    })
}

#[test]
fn empty_sums_are_zero_and_empty_images_are_empty() {
    let run = |x: [usize; 4], class: DeviceClass| {
        let graph = Graph::new(Mode::Train);
        let (input, w) = (graph.input("x", x), graph.input("w", [3, x[1], 3, 3]));
        let b = graph.input("b", [3]);
        let y = input.conv2d(&w, Some(&b), Conv2d::default());
        let dw = gradients(&y.sum_all(), &[w]).remove(0).unwrap();
        let named = [("y", &y), ("dw", &dw)];
        let target = context().target().with_class(class);
        let used = graph.plan(&named, &target).unwrap();
        let used: Vec<&str> = used.variables().iter().map(|variable| &*variable.name).collect();
        let shapes: [(&str, &[usize]); 3] = [("x", &x), ("w", &[3, x[1], 3, 3]), ("b", &[3])];
        let known = shapes.into_iter().filter(|(name, _)| used.contains(name));
        let inputs: Vec<(&str, Array)> = known.map(|(name, shape)| (name, array(DType::F32, shape, 5))).collect();
        run_on(&graph, &named, &inputs, &target, PlanOptions::default()).unwrap()
    };
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let found = run([0, 2, 4, 4], class);
        assert_eq!(*found[0].shape(), Shape::from([0, 3, 2, 2]));
        assert_eq!(found[1].to_f32(), vec![0.0; 3 * 2 * 9]);
        let bias = array(DType::F32, &[3], 5).to_f32();
        assert_eq!(run([1, 0, 3, 3], class)[0].to_f32(), bias);
    }
}

#[test]
fn mistakes_are_named() {
    let error = |x: &[usize], w: &[usize], bias: Option<usize>, options: Conv2d| {
        let graph = Graph::new(Mode::Infer);
        let (x, w) = (graph.input("x", x), graph.input("w", w));
        let bias = bias.map(|count| graph.input("b", [count]));
        assert!(x.conv2d(&w, bias.as_ref(), options).is_failed());
        graph.check().unwrap_err().message().to_owned()
    };
    let plain = Conv2d::default();
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 4, 3, 3], None, plain),
        "conv2d: weight [8, 4, 3, 3] needs 4 input channels, x [1, 3, 8, 8] has 3"
    );
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 4, 3, 3], None, plain.groups(2)),
        "conv2d: weight [8, 4, 3, 3] needs 8 input channels in 2 groups, x [1, 3, 8, 8] has 3"
    );
    assert_eq!(
        error(&[1, 4, 8, 8], &[9, 2, 3, 3], None, plain.groups(2)),
        "conv2d: the 9 output channels of weight [9, 2, 3, 3] do not divide into 2 groups"
    );
    assert_eq!(error(&[1, 3, 2, 8], &[8, 3, 3, 3], None, plain), "conv2d: window 3 does not fit 2 with padding 0");
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 3, 3, 3], None, plain.dilation([1, 5]).padding([0, 1])),
        "conv2d: window 3 with dilation 5 does not fit 8 with padding 1"
    );
    assert_eq!(
        error(&[3, 8], &[8, 3, 3, 3], None, plain),
        "conv2d: needs x [N, C, H, W] or [C, H, W] and weight [K, C/groups, h, w], not [3, 8] and [8, 3, 3, 3]"
    );
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 3, 3, 3], None, plain.stride([0, 1])),
        "conv2d: stride [0, 1], dilation [1, 1] and groups 1 must be at least 1"
    );
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 3, 3, 3], Some(5), plain),
        "conv2d: bias [5] must be [8], one number for each output channel"
    );
    let graph = Graph::new(Mode::Infer);
    graph.input("x", [1, 3, 8, 8]).conv2d(&graph.input_of("w", [8, 3, 3, 3], DType::F16), None, plain);
    assert_eq!(
        graph.check().unwrap_err().message(),
        "conv2d: needs floating point numbers of one type, not f32[1, 3, 8, 8] and f16[8, 3, 3, 3]"
    );
}
