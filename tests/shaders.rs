//! Every shader in every variant a plan can ask for translates for Vulkan, Metal, DX12 and the browser,
//! within the limits that every device has.

use naga::{
    back,
    valid::{Capabilities, ValidationFlags, Validator},
};
use std::collections::{BTreeMap, BTreeSet};
use wgrad::{
    autodiff::gradients,
    kernel::{DeviceClass, Kernel, Target, assemble},
    prelude::*,
};

/// Translates a kernel with its constants set; panics with the kernel's name and the translator's words.
fn translate(kernel: &Kernel) {
    let name = format!("{kernel:?}");
    let source = assemble(kernel).unwrap();
    let module =
        naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
    // The last stands for pack2x16float and unpack2x16float, which are part of WGSL itself.
    let capabilities = Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
    let constants = kernel.constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((naga::ShaderStage::Compute, kernel.entry));
    let (module, info) = back::pipeline_constants::process_overrides(&module, &info, entry, &constants).unwrap();

    back::spv::write_vec(&module, &info, &back::spv::Options::default(), None)
        .unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
    let options = back::msl::Options { lang_version: (3, 0), fake_missing_bindings: true, ..Default::default() };
    back::msl::write_string(&module, &info, &options, &back::msl::PipelineOptions::default())
        .unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
    let options = back::hlsl::Options {
        shader_model: back::hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let mut text = String::new();
    let pipeline = back::hlsl::PipelineOptions::default();
    back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(&module, &info, None)
        .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
    back::wgsl::write_string(&module, &info, back::wgsl::WriterFlags::empty())
        .unwrap_or_else(|e| panic!("{name}: WGSL: {e}"));

    let baseline = Target::baseline();
    let at = module.entry_points.iter().position(|point| point.name == kernel.entry).unwrap();
    let threads: u32 = module.entry_points[at].workgroup_size.iter().product();
    assert!(threads <= baseline.max_workgroup_threads, "{name}: {threads} threads");
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let used = module.global_variables.iter().filter(|(handle, _)| !info.get_entry_point(at)[*handle].is_empty());
    let (mut buffers, mut bytes) = (0, 0);
    for (_, variable) in used {
        match variable.space {
            naga::AddressSpace::Storage { .. } => buffers += 1,
            naga::AddressSpace::WorkGroup => bytes += layouter[variable.ty].size,
            _ => {}
        }
    }
    assert!(buffers <= baseline.max_storage_buffers, "{name}: {buffers} storage buffers");
    assert!(bytes <= baseline.max_workgroup_bytes, "{name}: {bytes} bytes of workgroup memory");
}

/// Graphs that use every operation, for an element type.
fn graphs(dtype: DType) -> Vec<(Graph, Vec<Tensor>)> {
    let mut graphs = Vec::new();
    let mut add = |outputs: fn(&Graph, DType) -> Vec<Tensor>| {
        let graph = Graph::new(Mode::Train);
        let mut list = outputs(&graph, dtype);
        let floats: Vec<&Tensor> = list.iter().filter(|tensor| tensor.dtype().is_float()).collect();
        if let Some(loss) = floats.iter().map(|tensor| tensor.cast(DType::F32).sum_all()).reduce(|a, b| a + b) {
            list.extend(gradients(&loss, &graph.parameters()).into_iter().flatten());
        }
        graph.check().unwrap_or_else(|error| panic!("{error}"));
        graphs.push((graph, list));
    };
    add(|graph, dtype| {
        let x = graph.parameter_of("x", TensorDesc::new([6, 8], dtype), Init::ones());
        let y = graph.parameter_of("y", TensorDesc::new([8], dtype), Init::ones());
        let mut all = vec![
            &x + &y,
            &x - &y,
            &x * &y,
            &x / &y,
            -&x,
            x.pow(&y),
            x.maximum(&y),
            x.minimum(&y),
            x.exp(),
            x.log(),
            x.sqrt(),
            x.rsqrt(),
            x.abs(),
            x.relu(),
            x.gelu(),
            x.gelu_tanh(),
            x.sigmoid(),
            x.tanh(),
            x.silu(),
            x.softplus(),
            x.clamp(-1.0, 1.0),
            x.lt(&y).where_(&x, &y),
            x.dropout(0.5),
            x.sum(&[0], false),
            x.mean(&[1], true),
            x.max(&[1], false),
            x.min(&[0, 1], false),
            x.softmax(0),
            x.softmax(1),
            x.log_softmax(0),
            x.log_softmax(1),
            x.transpose(0, 1),
            x.slice(1, 2..5),
            x.reshape([48]),
            Tensor::concat(&[&x, &x], 0),
            x.expand([2, 6, 8]),
            x.matmul(&x.transpose(0, 1)),
            x.transpose(0, 1).matmul(&x),
            x.matmul(&y),
        ];
        all.push(x.layer_norm(&y, &y, 1e-5));
        all.push(x.argmax(1));
        all.push(x.cross_entropy(&graph.input_of("class", [6], DType::U32)));
        all.push(x.embedding(&graph.input_of("ids", [3], DType::U32)));
        all
    });
    add(|graph, dtype| {
        let x = graph.parameter_of("x", TensorDesc::new([2, 4, 9, 9], dtype), Init::ones());
        let w = graph.parameter_of("w", TensorDesc::new([8, 2, 3, 3], dtype), Init::ones());
        let y = x.conv2d(&w, None, wgrad::ops::Conv2d { groups: 2, ..Default::default() });
        vec![y.max_pool2d(wgrad::ops::MaxPool2d::new(2)), y.relu()]
    });
    for size in [1, 3, 64, 300] {
        let graph = Graph::new(Mode::Train);
        let a = graph.parameter_of("a", TensorDesc::new([size, 2 * size], dtype), Init::ones());
        let b = graph.parameter_of("b", TensorDesc::new([2 * size, size], dtype), Init::ones());
        let y = a.matmul(&b);
        let loss = y.cast(DType::F32).sum_all();
        let mut list = vec![y];
        list.extend(gradients(&loss, &[a, b]).into_iter().flatten());
        graphs.push((graph, list));
    }
    graphs
}

#[test]
fn every_kernel_translates_for_every_backend() {
    let mut seen = BTreeSet::new();
    for dtype in [DType::F32, DType::F16] {
        for (graph, outputs) in graphs(dtype) {
            for (class, subgroups) in [DeviceClass::Software, DeviceClass::Portable]
                .into_iter()
                .flat_map(|class| [(class, false), (class, true)])
            {
                let target = Target { f16: true, subgroups, ..Target::baseline() }.with_class(class);
                let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
                let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
                let plan = graph.plan(&named, &target).unwrap_or_else(|error| panic!("{dtype} {class:?}: {error}"));
                for kernel in plan.kernels() {
                    if seen.insert(format!("{kernel:?} {:?}", kernel.chain)) {
                        translate(kernel);
                    }
                }
            }
        }
    }
    assert!(seen.len() > 60, "only {} kernels were seen", seen.len());
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
