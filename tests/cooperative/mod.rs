//! Cooperative matrices: which products, convolutions and attentions use them, and, on a driver that has them, what these compute.

use wgrad::{
    autodiff::gradients,
    kernel::{CooperativeMatrix, DeviceClass, Target},
    ops::{Attention, Conv1d, Conv2d, Conv3d, ConvTranspose2d},
    plan::PlanOptions,
    prelude::*,
    testing::{context, run_on},
};

/// The kernels that multiply 70×40 by 40×50 numbers.
fn kernels(dtype: DType, target: &Target) -> Vec<String> {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input_of("a", [70, 40], dtype).matmul(&graph.input_of("b", [40, 50], dtype));
    let plan = graph.plan(&[("y", &y)], target).unwrap();
    plan.kernels().map(|kernel| kernel.shader.name.to_owned()).collect()
}

fn listing(cooperative: &[CooperativeMatrix]) -> Target {
    Target { f16: true, subgroups: true, cooperative: cooperative.to_vec(), ..Target::baseline() }
}

#[test]
fn products_use_what_the_adapter_lists_and_nothing_else() {
    let (small, large) = (CooperativeMatrix::square(8, DType::F16), CooperativeMatrix::square(16, DType::F16));
    let half = |list: &[CooperativeMatrix]| kernels(DType::F16, &listing(list));
    assert_eq!(half(&[]), ["matmul/portable"]);
    assert_eq!(half(&[small]), ["matmul/cooperative_8x8"]);
    assert_eq!(half(&[small, large]), ["matmul/cooperative_16x16"]);
    // Sums in f16 are not exact enough, and oblong matrices have no kernel.
    assert_eq!(half(&[CooperativeMatrix { sums: DType::F16, ..large }]), ["matmul/portable"]);
    assert_eq!(half(&[CooperativeMatrix { n: 8, ..large }]), ["matmul/portable"]);
    // Factors in f32 are not rounded to use matrices of f16.
    assert_eq!(kernels(DType::F32, &listing(&[small, large])), ["matmul/portable"]);
    let exact = CooperativeMatrix::square(8, DType::F32);
    assert_eq!(kernels(DType::F32, &listing(&[exact])), ["matmul/cooperative_8x8"]);
    // Software drivers have them and are slower with them.
    let software = listing(&[small, large]).with_class(DeviceClass::Software);
    assert_eq!(kernels(DType::F16, &software), ["matmul/subgroup"]);
}

#[test]
fn convolutions_use_what_the_adapter_lists_where_they_fill_it() {
    let kernel = |dtype, [outputs, inputs, side]: [usize; 3], list: &[CooperativeMatrix]| {
        let graph = Graph::new(Mode::Infer);
        let (x, w) = ([1, inputs, side + 2, side + 2], [outputs, inputs, 3, 3]);
        let y = graph.input_of("x", x, dtype).conv2d(&graph.input_of("w", w, dtype), None, Conv2d::default());
        let plan = graph.plan(&[("y", &y)], &listing(list)).unwrap();
        plan.kernels().next().unwrap().shader.name
    };
    let (small, large) = (CooperativeMatrix::square(8, DType::F16), CooperativeMatrix::square(16, DType::F16));
    let half = |sizes, list: &[CooperativeMatrix]| kernel(DType::F16, sizes, list);
    let sizes = [40, 30, 9];
    assert_eq!(half(sizes, &[]), "conv/portable");
    assert_eq!(half(sizes, &[small]), "conv/cooperative_8x8");
    assert_eq!(half(sizes, &[small, large]), "conv/cooperative_16x16");
    assert_eq!(half(sizes, &[CooperativeMatrix { sums: DType::F16, ..large }]), "conv/portable");
    assert_eq!(kernel(DType::F32, sizes, &[small, large]), "conv/portable");
    assert_eq!(kernel(DType::F32, sizes, &[CooperativeMatrix::square(8, DType::F32)]), "conv/cooperative_8x8");
    // Few outputs, or few pixels, would leave most of a square unused.
    assert_eq!(half([4, 30, 9], &[large]), "conv/thin");
    assert_eq!(half([7, 30, 9], &[large]), "conv/portable");
    assert_eq!(half([40, 30, 2], &[large]), "conv/portable");
}

const REASON: &str = "the driver lists no cooperative matrices; Mesa 26.1 and later do";

/// Numbers of eight bits between −2 and 2, whose products are exact in `f32`.
fn numbers(state: &mut u32, count: usize) -> Vec<f32> {
    let mut next = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((*state >> 24) as i8) / 64.0
    };
    (0..count).map(|_| next()).collect()
}

/// [`check_with`] for the kernel that is named after the side of its squares.
fn check(dtype: DType, side: u32, sizes: [usize; 4], transposed: [bool; 2]) {
    check_with(&format!("matmul/cooperative_{side}x{side}"), dtype, side, sizes, transposed);
}

/// relu(a·b + c), one of whose factors or both may be stored transposed, in one dispatch of a kernel for squares of a
/// side, against the sums in f64.
fn check_with(kernel: &str, dtype: DType, side: u32, [batch, m, n, k]: [usize; 4], transposed: [bool; 2]) {
    let target = Target { cooperative: vec![CooperativeMatrix::square(side, dtype)], ..context().target().clone() };
    let target = target.with_class(DeviceClass::Portable);
    let case = format!("{dtype} {side} {batch}x{m}x{n}x{k} {transposed:?}");
    let mut state = (m * 31 + n * 17 + k) as u32;
    let mut numbers = |count: usize| numbers(&mut state, count);
    let (a, b, c) = (numbers(batch * m * k), numbers(batch * k * n), numbers(n));
    let graph = Graph::new(Mode::Infer);
    let stored = |name: &str, [rows, columns]: [usize; 2], transposed: bool| {
        let shape = if transposed { [batch, columns, rows] } else { [batch, rows, columns] };
        let x = graph.input_of(name, shape, dtype);
        if transposed { x.t() } else { x }
    };
    let product = stored("a", [m, k], transposed[0]).matmul(&stored("b", [k, n], transposed[1]));
    let y = (product + graph.input_of("c", [n], dtype)).relu();
    let plan = graph.plan(&[("y", &y)], &target).unwrap();
    let first = plan.kernels().next().unwrap().shader.name;
    assert_eq!(first, kernel, "{case}");

    let laid = |x: &[f32], [rows, columns]: [usize; 2], transposed: bool| -> Vec<f32> {
        if !transposed {
            return x.to_vec();
        }
        let at = |i: usize| i / (rows * columns) * rows * columns + i % rows * columns + i / rows % columns;
        (0..x.len()).map(|i| x[at(i)]).collect()
    };
    let array = |name: &str, x: &[f32]| (name.to_owned(), x.to_vec());
    let inputs =
        [array("a", &laid(&a, [m, k], transposed[0])), array("b", &laid(&b, [k, n], transposed[1])), array("c", &c)];
    let shapes: Vec<Shape> = plan.variables().iter().map(|variable| variable.desc.shape.clone()).collect();
    let names: Vec<&str> = plan.variables().iter().map(|variable| &*variable.name).collect();
    let written: Vec<(&str, Array)> = inputs
        .iter()
        .map(|(name, x)| {
            let at = names.iter().position(|known| known == name).unwrap();
            (names[at], Array::from_f32_as(dtype, &shapes[at], x).unwrap())
        })
        .collect();
    let y = run_on(&graph, &[("y", &y)], &written, &target, PlanOptions::default()).unwrap()[0].to_f32();
    for (i, &found) in y.iter().enumerate() {
        let (p, row, column) = (i / (m * n), i / n % m, i % n);
        let term = |l: usize| f64::from(a[(p * m + row) * k + l]) * f64::from(b[(p * k + l) * n + column]);
        let expected = ((0..k).map(term).sum::<f64>() + f64::from(c[column])).max(0.0);
        let close = if dtype == DType::F16 { 2e-3 } else { 2e-6 };
        let error = (f64::from(found) - expected).abs();
        assert!(error <= close * expected.max(1.0), "{case}: {found} at {i}, not {expected}");
    }
}

const CASES: [[usize; 4]; 8] = [
    [1, 5, 6, 2],
    [1, 64, 128, 16],
    [1, 65, 129, 33],
    [3, 33, 17, 40],
    [2, 8, 8, 8],
    [1, 100, 260, 70],
    [1, 7, 200, 3],
    [1, 40, 40, 2500],
];
const STORED: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

#[test]
#[ignore = "make cooperative runs it on a driver that has cooperative matrices, or says why there is none"]
fn products_of_listed_matrices_match_their_definition() {
    let list = &context().target().cooperative;
    assert!(list.contains(&CooperativeMatrix::square(8, DType::F16)), "{REASON}");
    for (i, case) in CASES.into_iter().enumerate() {
        check(DType::F16, 8, case, STORED[i % 4]);
    }
}

/// The software driver lists squares of 8 rows in f16 and computes others just as well: there the kernels for real
/// GPUs are run.
#[test]
#[ignore = "make cooperative runs it on a driver that has cooperative matrices, or says why there is none"]
fn products_of_matrices_of_real_gpus_match_their_definition() {
    assert!(context().target().class.is_software(), "matrices that are not listed are for a software driver only");
    assert!(!context().target().cooperative.is_empty(), "{REASON}");
    // The driver takes long to compile these: few cases that reach both ways to load each factor.
    check(DType::F16, 16, [3, 70, 33, 50], [false, true]);
    check(DType::F16, 16, [1, 65, 129, 33], [true, false]);
    check(DType::F32, 8, [3, 35, 33, 50], [true, false]);
    check(DType::F32, 8, [1, 33, 65, 33], [false, true]);
}

/// Both widths of tiles, with whole tiles along k and without.
#[test]
#[ignore = "make cooperative runs it on a driver that has cooperative matrices, or says why there is none"]
fn products_in_large_tiles_match_their_definition() {
    if !context().target().cooperative.contains(&CooperativeMatrix::square(16, DType::F16)) {
        println!("SKIPPED: only real GPUs list matrices of 16 rows, and compile their kernel in less than minutes");
        return;
    }
    for stored in STORED {
        for case in [[1, 100, 260, 72], [2, 132, 104, 96], [128, 100, 252, 68], [64, 128, 512, 64]] {
            check_with("matmul/cooperative_wide", DType::F16, 16, case, stored);
        }
    }
}

/// Σ r·relu(y) for a convolution y with a bias, and all gradients: the same numbers by the kernels for squares of a side
/// as by the portable one, as no sum is rounded.
fn check_convolution(
    dtype: DType,
    side: u32,
    [x, w]: [&[usize]; 2],
    channels: usize,
    convolve: impl Fn([&Tensor; 3]) -> Tensor,
) {
    let graph = Graph::new(Mode::Infer);
    let [image, window, bias] =
        [("x", x), ("w", w), ("b", &[channels])].map(|(name, s)| graph.input_of(name, s, dtype));
    let y = convolve([&image, &window, &bias]).relu();
    let weights = graph.input_of("r", y.shape(), dtype);
    let slopes: Vec<Tensor> = gradients(&(&y * &weights).sum_all(), &[image.clone(), window.clone()])
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let outputs = [("y", &y), ("dx", &slopes[0]), ("dw", &slopes[1])];

    let mut state = side;
    let inputs: Vec<(&str, Array)> =
        [("x", image.shape()), ("w", window.shape()), ("b", bias.shape()), ("r", y.shape())]
            .into_iter()
            .map(|(name, shape)| {
                let found = numbers(&mut state, shape.numel());
                (name, Array::from_f32_as(dtype, &shape, &found).unwrap())
            })
            .collect();
    let list = [Vec::new(), vec![CooperativeMatrix::square(side, dtype)]];
    let [portable, cooperative] = list.map(|cooperative| {
        let target = Target { cooperative, ..context().target().clone() }.with_class(DeviceClass::Portable);
        let plan = graph.plan(&outputs, &target).unwrap();
        let names = plan.kernels().map(|kernel| kernel.shader.name).filter(|name| name.starts_with("conv/"));
        let mut names: Vec<&str> = names.filter(|&name| name != "conv/combine").collect();
        names.dedup();
        (names, run_on(&graph, &outputs, &inputs, &target, PlanOptions::default()).unwrap())
    });
    assert_eq!(portable.0, ["conv/portable"], "{x:?}");
    assert_eq!(cooperative.0, [format!("conv/cooperative_{side}x{side}")], "{x:?}");
    for ((name, _), (expected, found)) in outputs.iter().zip(portable.1.iter().zip(&cooperative.1)) {
        let (expected, found) = (expected.to_f32(), found.to_f32());
        assert!(expected.iter().any(|&number| number != 0.0), "{dtype} {side} {x:?}: {name} is zero");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{dtype} {side} {x:?}: {name} at {i}");
        }
    }
}

/// Those of squares of 8 rows in f16, which the driver lists, are among the tests of `ops::conv`.
#[test]
#[ignore = "make cooperative runs it on a driver that has cooperative matrices, or says why there is none"]
fn convolutions_by_matrices_of_real_gpus_match_the_portable_kernel() {
    assert!(context().target().class.is_software(), "matrices that are not listed are for a software driver only");
    assert!(!context().target().cooperative.is_empty(), "{REASON}");
    for (dtype, side) in [(DType::F16, 16), (DType::F32, 8)] {
        let options = Conv1d::default().stride([2]).padding([[2, 1]]).dilation([3]).groups(2);
        check_convolution(dtype, side, [&[2, 18, 37], &[20, 9, 4]], 20, |[x, w, b]| x.conv1d(w, Some(b), options));
        // Sums in parts.
        let options = Conv2d::default().padding([1, 2]);
        check_convolution(dtype, side, [&[1, 70, 9, 15], &[35, 70, 3, 3]], 35, |[x, w, b]| {
            x.conv2d(w, Some(b), options)
        });
        let options = Conv3d::default().padding(1).stride([1, 2, 1]);
        check_convolution(dtype, side, [&[1, 9, 5, 6, 7], &[10, 9, 2, 3, 2]], 10, |[x, w, b]| {
            x.conv3d(w, Some(b), options)
        });
        let options = ConvTranspose2d::default().stride([2, 3]).padding(1);
        check_convolution(dtype, side, [&[2, 10, 5, 7], &[10, 9, 4, 3]], 9, |[x, w, b]| {
            x.conv_transpose2d(w, Some(b), options)
        });
    }
}

/// The kernels of attention and its gradients.
fn attention_kernels(dtype: DType, target: &Target) -> Vec<String> {
    let graph = Graph::new(Mode::Infer);
    let [q, k, v] = ["q", "k", "v"].map(|name| graph.input_of(name, [1, 2, 40, 64], dtype));
    let y = q.attention(&k, &v, Attention::causal());
    let slopes = gradients(&y.cast(DType::F32).sum_all(), &[q, k, v]);
    let outputs: Vec<(&str, &Tensor)> = ["q", "k", "v"].into_iter().zip(slopes.iter().flatten()).collect();
    let plan = graph.plan(&outputs, target).unwrap();
    let kernels = plan.kernels().filter(|kernel| kernel.label().contains("ward"));
    kernels.map(|kernel| kernel.shader.name.to_owned()).collect()
}

#[test]
fn attention_uses_what_the_adapter_lists_and_nothing_else() {
    let (small, large) = (CooperativeMatrix::square(8, DType::F16), CooperativeMatrix::square(16, DType::F16));
    let exact = CooperativeMatrix::square(8, DType::F32);
    let half = |list: &[CooperativeMatrix]| attention_kernels(DType::F16, &listing(list));
    assert_eq!(half(&[]), ["attention/portable"; 3]);
    assert_eq!(half(&[exact]), ["attention/portable"; 3]);
    assert_eq!(half(&[small]), ["attention/cooperative_8x8"; 3]);
    assert_eq!(half(&[small, large]), ["attention/cooperative_16x16"; 3]);
    assert_eq!(attention_kernels(DType::F32, &listing(&[small, large, exact])), ["attention/portable"; 3]);
    let software = listing(&[small, large]).with_class(DeviceClass::Software);
    assert_eq!(attention_kernels(DType::F16, &software), ["attention/subgroup"; 3]);
}

/// A case of attention: the shapes [B, H, T, D] of q and v, the width of which may differ from that of k, and whether
/// there are masks: one that no query sees a key through in its first rows, and a length of the last batch.
struct Attended {
    q: [usize; 4],
    v: [usize; 4],
    causal: bool,
    masked: bool,
}

/// Attention and its gradients by matrices of a side, against those of the portable kernels in f32.
fn check_attention(side: u32, case: &Attended) {
    let Attended { q, v, causal, masked } = *case;
    let k = [v[0], v[1], v[2], q[3]];
    let what = format!("{side} {q:?} {k:?} {v:?} causal {causal} masked {masked}");
    let portable = context().target().with_class(DeviceClass::Portable);
    let list = |squares| Target { cooperative: squares, ..portable.clone() };
    let run = |dtype: DType, target: &Target| -> Vec<Vec<f32>> {
        let graph = Graph::new(Mode::Infer);
        let shapes = [q, k, v, [q[0], q[1], q[2], v[3]]];
        let [x, y, z, w] = [0, 1, 2, 3].map(|i| graph.input_of(["q", "k", "v", "w"][i], shapes[i], dtype));
        let mut options = Attention { causal, ..Attention::default() };
        let mut inputs: Vec<(&str, Array)> = (0..4)
            .map(|i| {
                let count: usize = shapes[i].iter().product();
                // Multiples of 1/64 are the same numbers in both element types.
                let numbers: Vec<f32> = (0..count).map(|j| ((j * 37 + i * 11) % 97) as f32 / 64.0 - 0.75).collect();
                (["q", "k", "v", "w"][i], Array::from_f32_as(dtype, shapes[i], &numbers).unwrap())
            })
            .collect();
        if masked {
            let mask: Vec<u32> = (0..q[2] * k[2]).map(|i| u32::from(i / k[2] >= 2 && i % 5 != 1)).collect();
            options = options.mask(&graph.input_of("mask", [1, 1, q[2], k[2]], DType::U32));
            options = options.lengths(&graph.input_of("lengths", [q[0]], DType::U32));
            let lengths: Vec<u32> = (0..q[0]).map(|b| (k[2] - b.min(k[2]) * k[2] / q[0]) as u32).collect();
            inputs.push(("mask", Array::from_u32([1, 1, q[2], k[2]], &mask).unwrap()));
            inputs.push(("lengths", Array::from_u32([q[0]], &lengths).unwrap()));
        }
        let out = x.attention(&y, &z, options);
        let slopes = gradients(&(&out * &w).cast(DType::F32).sum_all(), &[x, y, z]);
        let outputs: Vec<(&str, &Tensor)> =
            std::iter::once(("y", &out)).chain(["dq", "dk", "dv"].into_iter().zip(slopes.iter().flatten())).collect();
        let plan = graph.plan(&outputs, target).unwrap();
        let name = if target.cooperative.is_empty() {
            "attention/portable"
        } else {
            &*format!("attention/cooperative_{side}x{side}")
        };
        assert!(plan.kernels().filter(|kernel| kernel.shader.name == name).count() >= 3, "{what}");
        let found = run_on(&graph, &outputs, &inputs, target, PlanOptions::default()).unwrap();
        found.iter().map(Array::to_f32).collect()
    };
    let found = run(DType::F16, &list(vec![CooperativeMatrix::square(side, DType::F16)]));
    let expected = run(DType::F32, &list(Vec::new()));
    for (name, (found, expected)) in ["y", "dq", "dk", "dv"].into_iter().zip(found.iter().zip(&expected)) {
        let most = expected.iter().fold(1.0, |most: f32, x| most.max(x.abs()));
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= 4e-3 * most, "{what}: {name} is {found} at {i}, not {expected}");
        }
        assert!(
            !masked || name != "y" || found[..2 * v[3]].iter().all(|&y| y == 0.0),
            "{what}: hidden rows are {found:?}"
        );
    }
}

const ATTENDED: [Attended; 7] = [
    Attended { q: [1, 1, 1, 8], v: [1, 1, 1, 8], causal: false, masked: false },
    Attended { q: [2, 2, 37, 8], v: [2, 2, 37, 8], causal: true, masked: false },
    Attended { q: [1, 4, 33, 40], v: [1, 2, 65, 40], causal: false, masked: false },
    Attended { q: [1, 2, 70, 64], v: [1, 1, 70, 64], causal: true, masked: false },
    Attended { q: [1, 1, 5, 128], v: [1, 1, 131, 128], causal: false, masked: false },
    Attended { q: [2, 2, 35, 40], v: [2, 1, 67, 72], causal: false, masked: true },
    Attended { q: [2, 1, 66, 128], v: [2, 1, 66, 20], causal: true, masked: true },
];

/// Those of squares of 8 rows in f16 are among the tests of `ops::attention`.
#[test]
#[ignore = "make cooperative runs it on a driver that has cooperative matrices, or says why there is none"]
fn attention_by_matrices_of_real_gpus_matches_the_portable_kernels() {
    assert!(context().target().class.is_software(), "matrices that are not listed are for a software driver only");
    assert!(!context().target().cooperative.is_empty(), "{REASON}");
    for case in &ATTENDED {
        check_attention(16, case);
    }
}
