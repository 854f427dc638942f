//! Every shader in every variant a plan can ask for translates for Vulkan, Metal, DX12 and the browser,
//! within the limits that every device has.

mod translate;
mod uniformity;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use translate::{Feature, translate};
use wgrad::{
    autodiff::gradients,
    catalogue::{Entry, Size, entries},
    kernel::{CooperativeMatrix, DeviceClass, Kernel, Target},
    prelude::*,
};

/// All kinds of device for which there are variants of kernels, and the optional features each has.
fn targets() -> Vec<(Target, Vec<Feature>)> {
    let portable = Target { f16: true, ..Target::baseline() };
    let software = portable.with_class(DeviceClass::Software);
    let subgroups = |target: &Target| Target { subgroups: true, ..target.clone() };
    let cooperative = |list: &[CooperativeMatrix]| Target { cooperative: list.to_vec(), ..subgroups(&portable) };
    let squares = |side, dtypes: &[DType]| -> Vec<CooperativeMatrix> {
        dtypes.iter().map(|&dtype| CooperativeMatrix::square(side, dtype)).collect()
    };
    vec![
        (portable.clone(), vec![]),
        (subgroups(&portable), vec![Feature::Subgroups]),
        (subgroups(&portable.with_class(DeviceClass::Discrete)), vec![Feature::Subgroups]),
        (software.clone(), vec![]),
        (subgroups(&software), vec![Feature::Subgroups]),
        // Metal's matrices, and those of most other GPUs.
        (cooperative(&squares(8, &[DType::F16, DType::F32])), vec![Feature::Subgroups, Feature::Cooperative]),
        (cooperative(&squares(16, &[DType::F16])), vec![Feature::Subgroups, Feature::Cooperative]),
        (
            Target { max_workgroup_bytes: 48 << 10, ..cooperative(&squares(16, &[DType::F16])) },
            vec![Feature::Subgroups, Feature::Cooperative, Feature::WorkgroupMemory],
        ),
    ]
}

/// Results with their gradients with respect to all parameters.
fn with_gradients(graph: &Graph, mut list: Vec<Tensor>) -> Vec<Tensor> {
    if let Some(loss) = squares(&list) {
        list.extend(gradients(&loss, &graph.parameters()).into_iter().flatten());
    }
    graph.check().unwrap_or_else(|error| panic!("{error}"));
    list
}

/// Shapes for which operations choose other kernels than for those of the catalogue, for an element type.
fn graphs(dtype: DType) -> Vec<(Graph, Vec<Tensor>)> {
    let mut graphs = Vec::new();
    let parameter =
        |graph: &Graph, name, shape: &[usize]| graph.parameter_of(name, TensorDesc::new(shape, dtype), Init::ones());
    for size in [1, 3, 64, 300] {
        let graph = Graph::new(Mode::Train);
        let y = parameter(&graph, "a", &[size, 2 * size]).matmul(&parameter(&graph, "b", &[2 * size, size]));
        let outputs = with_gradients(&graph, vec![y]);
        graphs.push((graph, outputs));
    }
    // The gradient of a weight whose images are more than a binding.
    let graph = Graph::new(Mode::Train);
    let x = graph.input_of("x", [640, 16, 64, 128], dtype);
    let y = x.conv2d(&parameter(&graph, "w", &[1, 16, 1, 1]), None, wgrad::ops::Conv2d::default());
    let outputs = with_gradients(&graph, vec![y]);
    graphs.push((graph, outputs));
    // Another order of more than a binding.
    let graph = Graph::new(Mode::Infer);
    let turned = |name, dtype| graph.input_of(name, [8192, 8200], dtype).t().reshape([8192 * 8200]);
    let outputs = [turned("x", dtype), turned("ids", DType::U32)];
    graphs.push((graph, outputs.to_vec()));
    // Sums in parts, and both kernels for matrices with few rows.
    for (a, b) in [([70, 5000], [5000, 60]), ([2, 5000], [5000, 60]), ([20, 36], [36, 20])] {
        for transposed in [false, true] {
            let graph = Graph::new(Mode::Train);
            let [rows, columns] = b;
            let b = if transposed {
                parameter(&graph, "b", &[columns, rows]).t()
            } else {
                parameter(&graph, "b", &[rows, columns])
            };
            let y = parameter(&graph, "a", &a).matmul(&b);
            let outputs = with_gradients(&graph, vec![y]);
            graphs.push((graph, outputs));
        }
    }
    // Enough for tiles of 256 columns, by whole tiles along k.
    let graph = Graph::new(Mode::Infer);
    let outputs = vec![parameter(&graph, "a", &[2048, 96]).matmul(&parameter(&graph, "b", &[96, 2048]))];
    graphs.push((graph, outputs));
    // Groups; few outputs of long sums.
    for (x, w, groups) in [([2, 4, 9, 9], [8, 2, 3, 3], 2), ([1, 200, 5, 5], [2, 200, 3, 3], 1)] {
        let graph = Graph::new(Mode::Train);
        let options = wgrad::ops::Conv2d { groups, ..Default::default() };
        let y = parameter(&graph, "x", &x).conv2d(&parameter(&graph, "w", &w), None, options);
        let outputs = with_gradients(&graph, vec![y.max_pool2d(wgrad::ops::MaxPool2d::new(2)), y.relu()]);
        graphs.push((graph, outputs));
    }
    // Groups of one output, with a stride to undo and a long sum over a plane.
    let graph = Graph::new(Mode::Train);
    let options = wgrad::ops::Conv2d::default().groups(2).stride([2, 1]);
    let y = parameter(&graph, "x", &[1, 2, 40, 40]).conv2d(&parameter(&graph, "w", &[2, 1, 3, 3]), None, options);
    let outputs = with_gradients(&graph, vec![y]);
    graphs.push((graph, outputs));
    // Index tensors are moved by entry points of their own.
    let graph = Graph::new(Mode::Infer);
    let ids = graph.input_of("ids", [6, 8], DType::U32);
    let outputs = vec![Tensor::concat(&[&ids, &ids], 0), ids.t().reshape([48]), ids.slice(1, 2..5)];
    graphs.push((graph, outputs));
    graphs
}

/// Σ x² over the floating point ones of some tensors, whose gradients depend on everything.
fn squares(tensors: &[Tensor]) -> Option<Tensor> {
    let floats = tensors.iter().filter(|tensor| tensor.dtype().is_float());
    floats.map(|tensor| tensor.cast(DType::F32).square().sum_all()).reduce(|a, b| a + b)
}

/// The results of an operation with its derivatives up to an order.
fn derivatives(entry: &Entry, size: Size, dtype: DType, order: usize) -> (Graph, Vec<Tensor>) {
    let example = entry.example(size, dtype);
    let mut outputs = example.outputs().to_vec();
    let mut last = outputs.clone();
    for _ in 0..order {
        let Some(loss) = squares(&last) else { break };
        last = gradients(&loss, &example.floats()).into_iter().flatten().collect();
        outputs.extend(last.iter().cloned());
    }
    (example.graph().clone(), outputs)
}

/// Every kernel a plan can ask for: all operations of the catalogue with their gradients and the gradients of those, at several sizes, in both
/// element types, for all kinds of device.
fn kernels() -> Vec<(Kernel, Vec<Feature>)> {
    let mut found: BTreeMap<String, (Kernel, Vec<Feature>)> = BTreeMap::new();
    let targets = targets();
    let mut plan = |name: &str, graph: &Graph, outputs: &[Tensor], dtype: DType| {
        let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
        let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(outputs).collect();
        for (target, features) in &targets {
            let plan = graph.plan(&named, target).unwrap_or_else(|error| panic!("{name} {dtype}: {error}"));
            for kernel in plan.kernels() {
                let key = format!("{kernel:?} {:?}", kernel.chain);
                // Of two devices that share a kernel, the one with fewer features has to be able to run it.
                let (_, fewest) = found.entry(key).or_insert_with(|| (kernel.clone(), features.clone()));
                if features.len() < fewest.len() {
                    fewest.clone_from(features);
                }
            }
        }
    };
    for dtype in [DType::F32, DType::F16] {
        for (graph, outputs) in graphs(dtype) {
            plan("graph", &graph, &outputs, dtype);
        }
        for entry in entries() {
            for size in [Size::Tiny, Size::Small, Size::Medium] {
                // Asking for a gradient that there is none of is a mistake, which the graph keeps: then one less is taken.
                let programs = (0..=2).rev().map(|order| derivatives(entry, size, dtype, order));
                let (graph, outputs) = programs.into_iter().find(|(graph, _)| graph.check().is_ok()).unwrap();
                plan(entry.name, &graph, &outputs, dtype);
            }
        }
    }
    // What is measured but is no operation of graphs.
    for entry in ["copy", "multiply_add"] {
        let kernel = Kernel::new(wgrad::shader!("roofline"), entry, DType::F32);
        found.insert(entry.to_owned(), (kernel, vec![]));
    }
    let half = |kernel: &Kernel| wgrad::kernel::assemble(kernel).is_ok_and(|text| text.contains("enable f16;"));
    let features = |kernel: &Kernel, features| {
        let mut features: Vec<Feature> = features;
        features.extend(half(kernel).then_some(Feature::Half));
        features
    };
    found.into_values().map(|(kernel, list)| (kernel.clone(), features(&kernel, list))).collect()
}

#[test]
fn every_kernel_translates_for_every_backend() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shaders");
    let _ = std::fs::remove_dir_all(&folder);
    let kernels = kernels();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((kernel, features)) =
                    kernels.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    translate(kernel, features, &folder).unwrap_or_else(|error| panic!("{kernel:?}: {error}"));
                }
            });
        }
    });

    let used: BTreeSet<String> = kernels.iter().map(|(kernel, _)| kernel.label()).collect();
    let unused: Vec<String> = shaders("")
        .iter()
        .flat_map(|(file, text)| entry_points(text).map(move |entry| format!("{file}.{entry}")))
        .filter(|label| !used.contains(label))
        .collect();
    assert!(unused.is_empty(), "no plan asked for {unused:?}");
}

/// The names of a file's entry points.
fn entry_points(text: &str) -> impl Iterator<Item = &str> {
    text.split("@compute").skip(1).filter_map(|rest| rest.split_once("fn ")?.1.split('(').next())
}

/// The names a WGSL file declares outside its functions.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    const WORDS: [&str; 6] = ["fn ", "const ", "override ", "struct ", "alias ", "var<"];
    text.lines().filter_map(|line| {
        let line = line.rsplit_once(") ").filter(|_| line.starts_with('@')).map_or(line, |(_, rest)| rest);
        let rest = WORDS.iter().find_map(|word| line.strip_prefix(word))?;
        let rest = if line.starts_with("var<") { rest.split_once("> ")?.1 } else { rest };
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

/// The shaders by name, `add` and `lib/nan`, with their texts.
fn shaders(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{folder}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            found.extend(shaders(&format!("{name}/")));
        } else {
            found.insert(name.trim_end_matches(".wgsl").to_owned(), std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn functions_of_pointwise_operations_have_names_of_their_own() {
    let shaders = shaders("");
    // What a chain puts into another kernel's module: files without an entry point, and what they import.
    let functions = |(name, text): &(&String, &String)| !name.contains('/') && !text.contains("@compute");
    let mut pasted: Vec<String> = shaders.iter().filter(functions).map(|(name, _)| name.clone()).collect();
    let mut next = 0;
    while next < pasted.len() {
        for import in shaders[&pasted[next]].lines().filter_map(|line| line.strip_prefix("//#import ")) {
            let import = format!("lib/{import}");
            if !pasted.contains(&import) {
                pasted.push(import);
            }
        }
        next += 1;
    }
    for file in &pasted {
        for name in declared(&shaders[file]) {
            let by = shaders.iter().filter(|(_, text)| declared(text).any(|other| other == name)).map(|(file, _)| file);
            assert_eq!(by.collect::<Vec<_>>(), [file], "{name} is declared more than once");
            for arguments in ["x", "x, x", "x, x, x"] {
                let call = format!("fn f(x: f32) {{ _ = {name}({arguments}); }}");
                assert!(naga::front::wgsl::parse_str(&call).is_err(), "{name} of {file} hides a function of WGSL");
            }
        }
    }
}
