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

/// A convolution over the last `D` axes of tensors of these shapes, those in front of padding given.
struct Definition<const D: usize> {
    stride: [usize; D],
    before: [usize; D],
    dilation: [usize; D],
    groups: usize,
    x: Shape,
    w: Shape,
    y: Shape,
}

impl<const D: usize> Definition<D> {
    fn conv(options: Conv<D>, x: &Shape, w: &Shape) -> Definition<D> {
        let Conv { stride, dilation, groups, .. } = options;
        let rank = x.rank();
        let taken = |axis: usize| dilation[axis] * (w[2 + axis] - 1);
        let sides = match options.padding {
            Padding::Sides(sides) => sides,
            Padding::Same => {
                let before: [usize; D] = std::array::from_fn(|axis| taken(axis) / 2);
                Sides { before, after: std::array::from_fn(|axis| taken(axis) - before[axis]) }
            }
        };
        let size = |axis: usize| {
            let padded = x[rank - D + axis] + sides.before[axis] + sides.after[axis];
            (padded - taken(axis) - 1) / stride[axis] + 1
        };
        let y = x[..rank - D - 1].iter().copied().chain([w[0]]).chain((0..D).map(size)).collect();
        Definition { stride, before: sides.before, dilation, groups, x: x.clone(), w: w.clone(), y }
    }

    /// The convolution whose transpose this is: the user's x is y.
    fn transpose(options: ConvTranspose<D>, x: &Shape, w: &Shape) -> Definition<D> {
        let ConvTranspose { stride, padding, output_padding, dilation, groups } = options;
        let rank = x.rank();
        let size = |axis: usize| {
            let whole = (x[rank - D + axis] - 1) * stride[axis] + dilation[axis] * (w[2 + axis] - 1) + 1;
            whole + output_padding[axis] - padding.before[axis] - padding.after[axis]
        };
        let image = x[..rank - D - 1].iter().copied().chain([w[1] * groups]).chain((0..D).map(size)).collect();
        Definition { stride, before: padding.before, dilation, groups, x: image, w: w.clone(), y: x.clone() }
    }

    /// Calls `f` with the places in x, w and y of every product.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let rank = self.x.rank();
        let axes = |shape: &Shape| -> [usize; 3] {
            std::array::from_fn(|axis| (axis + D).checked_sub(3).map_or(1, |axis| shape[shape.rank() - D + axis]))
        };
        let (image, window, plane) = (axes(&self.x), axes(&self.w), axes(&self.y));
        // Element i of y meets element s of x with tap t.
        let meetings: [Vec<[usize; 3]>; 3] = std::array::from_fn(|axis| {
            let Some(own) = (axis + D).checked_sub(3) else { return vec![[0, 0, 0]] };
            let pairs = (0..plane[axis]).flat_map(|i| (0..window[axis]).map(move |t| (i, t)));
            let met = pairs.map(|(i, t)| {
                [i, t, (i * self.stride[own] + t * self.dilation[own]).wrapping_sub(self.before[own])]
            });
            met.filter(|met| met[2] < image[axis]).collect()
        });
        let batch = if rank == D + 2 { self.x[0] } else { 1 };
        let (filters, inputs) = (self.w[0], self.w[1]);
        let outputs = filters / self.groups;
        for (n, k, c) in (0..batch).flat_map(|n| (0..filters).flat_map(move |k| (0..inputs).map(move |c| (n, k, c)))) {
            let channel = (n * self.groups + k / outputs) * inputs + c;
            let (filter, map) = (k * inputs + c, n * filters + k);
            for &[i0, t0, s0] in &meetings[0] {
                for &[i1, t1, s1] in &meetings[1] {
                    let x = ((channel * image[0] + s0) * image[1] + s1) * image[2];
                    let w = ((filter * window[0] + t0) * window[1] + t1) * window[2];
                    let y = ((map * plane[0] + i0) * plane[1] + i1) * plane[2];
                    for &[i2, t2, s2] in &meetings[2] {
                        f(x + s2, w + t2, y + i2);
                    }
                }
            }
        }
    }

    fn output(&self, x: &Numbers, w: &Numbers) -> Numbers {
        let mut sums = vec![0.0; self.y.numel()];
        let (x, w) = (x.data(), w.data());
        self.products(|from, tap, to| sums[to] += x[from] * w[tap]);
        Numbers::new(self.y.clone(), sums)
    }

    fn data(&self, y: &Numbers, w: &Numbers) -> Numbers {
        let mut sums = vec![0.0; self.x.numel()];
        let (y, w) = (y.data(), w.data());
        self.products(|to, tap, from| sums[to] += y[from] * w[tap]);
        Numbers::new(self.x.clone(), sums)
    }

    fn weight(&self, x: &Numbers, y: &Numbers) -> Numbers {
        let mut sums = vec![0.0; self.w.numel()];
        let (x, y) = (x.data(), y.data());
        self.products(|from, tap, to| sums[tap] += x[from] * y[to]);
        Numbers::new(self.w.clone(), sums)
    }
}

/// The definition, with zeros outside the image.
fn definition<const D: usize>(x: &Numbers, w: &Numbers, options: Conv<D>) -> Numbers {
    Definition::conv(options, x.shape(), w.shape()).output(x, w)
}

/// The definition of the transpose: every element of x spreads over a window of y.
fn transpose_definition<const D: usize>(x: &Numbers, w: &Numbers, options: ConvTranspose<D>) -> Numbers {
    Definition::transpose(options, x.shape(), w.shape()).data(x, w)
}

fn check<const D: usize>(x: &[usize], w: &[usize], options: Conv<D>) {
    Check::new(move |[x, w]| x.conv(&w, None, options), move |[x, w]| definition(&x, &w, options))
        .shapes([x, w])
        .run();
}

fn check_transpose<const D: usize>(x: &[usize], w: &[usize], options: ConvTranspose<D>) {
    Check::new(
        move |[x, w]| x.conv_transpose(&w, None, options),
        move |[x, w]| transpose_definition(&x, &w, options),
    )
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
fn signals_and_volumes_equal_their_definition() {
    check(&[1, 1, 1], &[1, 1, 1], Conv1d::default());
    check(&[2, 3, 70], &[5, 3, 4], Conv1d::default().padding([[2, 0]]).stride([2]));
    check(&[3, 300], &[3, 1, 5], Conv1d::default().padding(Padding::Same).dilation([3]).groups(3));
    check(&[1, 1, 1, 1, 1], &[1, 1, 1, 1, 1], Conv3d::default());
    check(&[2, 3, 4, 5, 6], &[9, 3, 3, 3, 3], Conv3d::default().padding(1));
    check(&[2, 4, 5, 6, 4], &[4, 2, 3, 2, 2], Conv3d::default().padding(Padding::Same).groups(2).dilation([1, 2, 1]));
    check(&[1, 9, 5, 5, 5], &[2, 9, 3, 3, 3], Conv3d::default().stride([2, 1, 3]).padding([[1, 0], [0, 1], [2, 2]]));
    // A window that is one plane deep, over volumes of one plane.
    check(&[2, 3, 1, 5, 6], &[4, 3, 1, 3, 3], Conv3d::default().stride([2, 1, 1]));
}

#[test]
fn transposes_equal_their_definition() {
    check_transpose(&[1, 1, 1], &[1, 1, 1], ConvTranspose1d::default());
    check_transpose(&[2, 3, 70], &[3, 5, 4], ConvTranspose1d::default().stride([2]).padding(1));
    check_transpose(&[2, 4, 5, 5], &[4, 3, 4, 4], ConvTranspose2d::default().stride([2, 2]).padding(1).groups(2));
    // Windows apart, so that elements between them get nothing; and more strides than elements.
    check_transpose(&[2, 3, 4, 4], &[3, 40, 2, 2], ConvTranspose2d::default().stride([5, 4]).output_padding([4, 0]));
    check_transpose(&[2, 3, 1, 2], &[3, 2, 1, 2], ConvTranspose2d::default().stride([7, 3]).dilation([1, 6]));
    // PyTorch lets the dilation allow output padding that the stride does not.
    let options = ConvTranspose2d::default().dilation([3, 2]).output_padding([2, 1]);
    check_transpose(&[1, 2, 4, 3], &[2, 3, 2, 3], options);
    check_transpose(&[1, 2, 3, 3, 3], &[2, 3, 4, 4, 4], ConvTranspose3d::default().stride([2, 2, 2]).padding(1));
    let options = ConvTranspose3d::default().stride([4, 1, 6]).dilation([2, 1, 4]).padding([[1, 0], [0, 1], [2, 3]]);
    check_transpose(&[2, 4, 3, 2, 3], &[4, 3, 3, 2, 3], options.groups(2).output_padding([1, 0, 2]));
}

#[test]
fn transposes_are_one_dispatch() {
    let graph = Graph::new(Mode::Infer);
    let (x, w) = (graph.input("x", [1, 2, 4, 4]), graph.input("w", [2, 1, 64, 64]));
    let y = x.conv_transpose2d(&w, None, ConvTranspose2d::default().stride([32, 32]).padding(16));
    let target = context().target().with_class(DeviceClass::Portable);
    assert_eq!(graph.plan(&[("y", &y)], &target).unwrap().kernels().count(), 1);
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

/// Rows of whole fours, where one tap's sources are all but one of the next tap's: forward for y, backward for dx.
#[test]
fn sources_slide_along_rows_of_fours() {
    for (width, window) in [(8, 2), (12, 3), (16, 5), (4, 7)] {
        let options = Conv2d::default().padding([window / 2, window / 2]);
        check(&[2, 5, 3, width], &[9, 5, 3, window], options);
        check(&[1, 6, 3, 2 * width], &[12, 3, 1, window], options.groups(2).stride([1, 2]).dilation([1, 2]));
    }
    check(&[1, 7, 8, 12], &[34, 7, 3, 3], Conv2d::default().padding([2, 2]).dilation([2, 1]));
    check_transpose(&[2, 5, 3, 8], &[5, 9, 3, 4], ConvTranspose2d::default().stride([2, 2]).padding(1));
    check_transpose(&[1, 5, 2, 2, 8], &[5, 8, 2, 2, 3], ConvTranspose3d::default().padding([[1, 1], [0, 0], [1, 1]]));
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
    let plain = |[x, w]: [Tensor; 2]| x.conv_transpose3d(&w, None, ConvTranspose3d::default());
    let sums = |[x, w]: [Numbers; 2]| transpose_definition(&x, &w, ConvTranspose3d::default());
    Check::new(plain, sums).shapes([[1, 70_000, 1, 1, 1], [70_000, 1, 1, 1, 2]]).no_half().run();
    // Enough pixels that the work is not cut for the sake of speed, and numbers that add up without rounding.
    let ones = |shape: &[usize]| Array::from_f32(shape, &vec![1.0; shape.iter().product()]).unwrap();
    let cases: [(&[usize], &[usize]); 3] = [
        (&[1, 4, 36, 36, 36], &[5, 4, 26, 26, 26]),
        (&[1, 4, 162, 162], &[5, 4, 130, 130]),
        (&[1, 4, 162, 385], &[1, 4, 130, 130]),
    ];
    let target = context().target().with_class(DeviceClass::Software);
    for (x, w) in cases {
        let graph = Graph::new(Mode::Infer);
        let (image, window) = (graph.input("x", x), graph.input("w", w));
        let y = match x.len() {
            5 => image.conv3d(&window, None, Conv3d::default()),
            _ => image.conv2d(&window, None, Conv2d::default()),
        };
        let inputs = [("x", ones(x)), ("w", ones(w))];
        let found = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap();
        let products: usize = w[1..].iter().product();
        assert!(products > 65_535);
        assert_eq!(found[0].to_f32(), vec![products as f32; y.shape().numel()]);
    }
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
        let options = Conv2d { stride, padding: padding.into(), dilation, groups };
        check(&[batch, groups * inputs, size(0), size(1)], &[groups * outputs, inputs, kernel[0], kernel[1]], options);
    }
}

/// What a random convolution is made of.
#[derive(Debug)]
struct Case<const D: usize> {
    /// Of x, which has none where it is 1.
    batch: usize,
    groups: usize,
    inputs: usize,
    outputs: usize,
    kernel: [usize; D],
    stride: [usize; D],
    dilation: [usize; D],
    padding: [[usize; 2]; D],
    extra: [usize; D],
}

fn cases<const D: usize>() -> impl Strategy<Value = Case<D>> {
    let ints = |range: std::ops::RangeInclusive<usize>| -> [_; D] { std::array::from_fn(|_| range.clone()) };
    let sides: [_; D] = std::array::from_fn(|_| [0..=2_usize, 0..=2]);
    let channels = (1..=2_usize, 1..=3_usize, 1..=6_usize, 1..=9_usize);
    let axes = (ints(1..=3), ints(1..=3), ints(1..=3), sides, ints(0..=3));
    (channels, axes).prop_map(|((batch, groups, inputs, outputs), (kernel, stride, dilation, padding, extra))| Case {
        batch,
        groups,
        inputs,
        outputs,
        kernel,
        stride,
        dilation,
        padding,
        extra,
    })
}

impl<const D: usize> Case<D> {
    /// The shape of x, without a batch of 1.
    fn x(&self, axes: [usize; D]) -> Vec<usize> {
        let front = [self.batch, self.groups * self.inputs];
        [&front[usize::from(self.batch == 1)..], &axes].concat()
    }

    fn check(self) {
        // The smallest image that a window fits, and a bit more.
        let size = |a: usize| {
            let reach = (self.kernel[a] - 1) * self.dilation[a] + 1 + self.extra[a];
            reach.saturating_sub(self.padding[a][0] + self.padding[a][1]).max(1)
        };
        let x = self.x(std::array::from_fn(size));
        let w = [&[self.groups * self.outputs, self.inputs][..], &self.kernel].concat();
        let (stride, dilation, groups) = (self.stride, self.dilation, self.groups);
        check(&x, &w, Conv { stride, padding: self.padding.into(), dilation, groups });
        if stride == [1; D] {
            check(&x, &w, Conv { stride, padding: Padding::Same, dilation, groups });
        }
    }

    fn check_transpose(self) {
        let sizes = self.extra.map(|extra| extra + 1);
        let output_padding: [usize; D] =
            std::array::from_fn(|a| self.padding[a][0] % self.stride[a].max(self.dilation[a]));
        let padding = std::array::from_fn(|a| {
            let whole = (sizes[a] - 1) * self.stride[a] + (self.kernel[a] - 1) * self.dilation[a] + output_padding[a];
            let before = self.padding[a][0].min(whole);
            [before, self.padding[a][1].min(whole - before)]
        });
        let (stride, dilation, groups) = (self.stride, self.dilation, self.groups);
        let options = ConvTranspose { stride, padding: Sides::from(padding), output_padding, dilation, groups };
        let x = self.x(sizes);
        let w = [&[groups * self.inputs, self.outputs][..], &self.kernel].concat();
        check_transpose(&x, &w, options);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_over_one_axis(case in cases::<1>()) { case.check() }
    #[test]
    fn random_over_two_axes(case in cases::<2>()) { case.check() }
    #[test]
    fn random_over_three_axes(case in cases::<3>()) { case.check() }
    #[test]
    fn random_transpose_over_one_axis(case in cases::<1>()) { case.check_transpose() }
    #[test]
    fn random_transpose_over_two_axes(case in cases::<2>()) { case.check_transpose() }
    #[test]
    fn random_transpose_over_three_axes(case in cases::<3>()) { case.check_transpose() }
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
            let other = outputs(target, PlanOptions { fuse, ..PlanOptions::default() });
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
        let (x, w, b) = (graph.input("x", [1, 3, 8, 8]), graph.input("w", [5, 3, 3, 3]), graph.input("b", [5]));
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
    let sizes = Sizes::conv(2, &options.widened(), &x.into(), &w.into()).unwrap();
    let y = sizes.y_shape();
    let pass = Pass { names: &CONV[1], kind: Kind::Forward, sizes };
    Check::new(
        move |[v, w]: [Tensor; 2]| pass.of(Kind::Data, &v, &w),
        move |[v, w]| Definition::conv(options, &x.into(), w.shape()).data(&v, &w),
    )
    .shapes([y.clone(), w.into()])
    .run();
    Check::new(
        move |[x, v]: [Tensor; 2]| pass.of(Kind::Weight, &x, &v),
        move |[x, v]| Definition::conv(options, x.shape(), &w.into()).weight(&x, &v),
    )
    .shapes([x.into(), y])
    .run();
    Check::new(move |[x, w]: [Tensor; 2]| pass.of(Kind::Forward, &x, &w), move |[x, w]| definition(&x, &w, options))
        .shapes([x, w])
        .run();
}

/// Runs a graph with numbers for those of its inputs that are used.
fn run_used(graph: &Graph, named: &[(&str, &Tensor)], shapes: &[(&str, &[usize])], target: &Target) -> Vec<Array> {
    let plan = graph.plan(named, target).unwrap();
    let used: Vec<&str> = plan.variables().iter().map(|variable| &*variable.name).collect();
    let known = shapes.iter().filter(|(name, _)| used.contains(name));
    let inputs: Vec<(&str, Array)> = known.map(|(name, shape)| (*name, array(DType::F32, shape, 5))).collect();
    run_on(graph, named, &inputs, target, PlanOptions::default()).unwrap()
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
        run_used(&graph, &named, &[("x", &x), ("w", &[3, x[1], 3, 3]), ("b", &[3])], &target)
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
fn no_images_in_every_dimension() {
    for dims in 1..=3 {
        for transposed in [false, true] {
            let graph = Graph::new(Mode::Infer);
            let x: Vec<usize> = [0, 2].into_iter().chain((0..dims).map(|_| 4)).collect();
            let kernel: Vec<usize> = [2, 2].into_iter().chain((0..dims).map(|_| 3)).collect();
            let (input, w) = (graph.input("x", &x[..]), graph.input("w", &kernel[..]));
            let y = match (dims, transposed) {
                (1, false) => input.conv1d(&w, None, Default::default()),
                (2, false) => input.conv2d(&w, None, Default::default()),
                (_, false) => input.conv3d(&w, None, Default::default()),
                (1, true) => input.conv_transpose1d(&w, None, Default::default()),
                (2, true) => input.conv_transpose2d(&w, None, Default::default()),
                (_, true) => input.conv_transpose3d(&w, None, Default::default()),
            };
            let found = gradients(&y.sum_all(), &[input.clone(), w]);
            let named = [("y", &y), ("dx", found[0].as_ref().unwrap()), ("dw", found[1].as_ref().unwrap())];
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let target = context().target().with_class(class);
                let found = run_used(&graph, &named, &[("x", &x), ("w", &kernel)], &target);
                let side = if transposed { 6 } else { 2 };
                assert_eq!(found[0].shape()[..], [&[0, 2][..], &vec![side; dims]].concat());
                assert_eq!(found[1].shape()[..], x[..]);
                assert_eq!(found[2].to_f32(), vec![0.0; kernel.iter().product()]);
            }
        }
    }
}

#[test]
fn mistakes_of_signals_volumes_and_transposes_are_named() {
    let error = |x: &[usize], w: &[usize], op: &dyn Fn(&Tensor, &Tensor) -> Tensor| {
        let graph = Graph::new(Mode::Infer);
        assert!(op(&graph.input("x", x), &graph.input("w", w)).is_failed());
        graph.check().unwrap_err().message().to_owned()
    };
    assert_eq!(
        error(&[1, 3, 8, 8], &[8, 3, 3], &|x, w| x.conv1d(w, None, Conv1d::default())),
        "conv1d: needs x [N, C, L] or [C, L] and weight [K, C/groups, l], not [1, 3, 8, 8] and [8, 3, 3]"
    );
    assert_eq!(
        error(&[3, 8], &[8, 3, 3], &|x, w| x.conv1d(w, None, Conv1d::default().stride([2]).padding(Padding::Same))),
        "conv1d: padding \"same\" needs stride 1, not [2]"
    );
    let sides = [[1, 0], [0, 0], [0, 0]];
    assert_eq!(
        error(&[1, 3, 1, 8, 8], &[8, 3, 3, 3, 3], &|x, w| x.conv3d(w, None, Conv3d::default().padding(sides))),
        "conv3d: window 3 does not fit 1 with padding 1 and 0"
    );
    let plain = ConvTranspose2d::default();
    assert_eq!(
        error(&[3, 8, 8], &[3, 3, 3], &|x, w| x.conv_transpose2d(w, None, plain)),
        "conv_transpose2d: needs x [N, C, H, W] or [C, H, W] and weight [C, K/groups, h, w], not [3, 8, 8] and [3, 3, 3]"
    );
    assert_eq!(
        error(&[3, 8, 8], &[4, 3, 3, 3], &|x, w| x.conv_transpose2d(w, None, plain)),
        "conv_transpose2d: weight [4, 3, 3, 3] needs 4 input channels, x [3, 8, 8] has 3"
    );
    assert_eq!(
        error(&[3, 8, 8], &[3, 3, 3, 3], &|x, w| x.conv_transpose2d(w, None, plain.groups(2))),
        "conv_transpose2d: the 3 input channels of weight [3, 3, 3, 3] do not divide into 2 groups"
    );
    assert_eq!(
        error(&[3, 8, 8], &[3, 3, 3, 3], &|x, w| x.conv_transpose2d(w, None, plain.output_padding([0, 1]))),
        "conv_transpose2d: output padding 1 must be less than stride 1 or dilation 1"
    );
    assert_eq!(
        error(&[3, 1, 8], &[3, 3, 3, 3], &|x, w| x.conv_transpose2d(w, None, plain.padding([[1, 2], [0, 0]]))),
        "conv_transpose2d: 1 elements, window 3 and padding 1 and 2 leave no output"
    );
    assert_eq!(
        error(&[3, 4, 4, 4], &[3, 3, 1, 1, 1], &|x, w| {
            x.conv_transpose3d(w, Some(&w.reshape([9])), ConvTranspose3d::default())
        }),
        "conv_transpose3d: bias [9] must be [3], one number for each output channel"
    );
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
