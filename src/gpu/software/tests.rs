//! What becomes of modules, and that it is valid.

use super::{Kind, Software, array};
use crate::{
    data::{Array, DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Graph, Io, Mode, Op},
    kernel::{Dispatch, Kernel, Shader, Target},
    testing::run,
};
use naga::{
    AddressSpace, Module, StorageAccess,
    valid::{Capabilities, ValidationFlags, Validator},
};

const WORDS: Software = Software { words: true, quotients: true, textures: 0 };
const TEXTURES: Software = Software { words: true, quotients: true, textures: u32::MAX };

/// What a module binds.
fn bindings(module: &Module) -> Vec<(u32, Kind)> {
    let variables = module.global_variables.iter().filter_map(|(_, variable)| {
        let kind = match variable.space {
            AddressSpace::Storage { access } if access == StorageAccess::LOAD => Kind::Read,
            AddressSpace::Storage { .. } => Kind::ReadWrite,
            _ => Kind::Uniform,
        };
        Some((variable.binding.as_ref()?.binding, kind))
    });
    let mut bindings: Vec<_> = variables.collect();
    bindings.sort_unstable_by_key(|(number, _)| *number);
    bindings
}

/// The module that reads in another way, valid, in WGSL.
fn rewritten(text: &str, software: Software) -> String {
    let mut module = naga::front::wgsl::parse_str(text).unwrap();
    let mut bindings = bindings(&module);
    software.apply(&mut module, &mut bindings);
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
    let info = info.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
    naga::back::wgsl::write_string(&module, &info, naga::back::wgsl::WriterFlags::empty()).unwrap()
}

fn arrays_of_words(text: &str) -> usize {
    rewritten(text, WORDS).matches("array<vec2<u64>").count()
}

fn textures(text: &str) -> usize {
    rewritten(text, TEXTURES).matches("texture_storage_2d<rgba32float,read>").count()
}

#[test]
fn vectors_become_words() {
    let module = |body: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
            @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
            @group(0) @binding(2) var<storage, read> ids: array<vec4<u32>>;
            @group(0) @binding(3) var<storage, read> numbers: array<f32>;
            var<workgroup> kept: array<vec4<i32>, 64>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {body} }}"
        )
    };
    // What is not used, and what has no vectors, stays.
    assert_eq!(arrays_of_words(&module("y[i] = x[i] + numbers[i];")), 2);
    assert_eq!(arrays_of_words(&module("y[i] = vec4<f32>(ids[i]) + x[i].x + x[i][i % 4u] + x[ids[i].w].z;")), 3);
    // What is read and written is read and written in words, unless a number is written by itself.
    assert_eq!(arrays_of_words(&module("y[i] = y[i] + 1.0;")), 1);
    assert_eq!(arrays_of_words(&module("for (var j = 0u; j < 4u; j++) { if i > j { y[i][j] = y[i].x; } }")), 0);
    // What is never done decides nothing.
    assert_eq!(arrays_of_words(&module("const PARTS = false; if PARTS { y[i].x = 1.0; return; } y[i] = x[i];")), 2);
    assert_eq!(arrays_of_words(&module("const PARTS = true; if PARTS { y[i].x = 1.0; return; } y[i] = x[i];")), 0);
    // Workgroup memory is memory like any other there.
    assert_eq!(
        arrays_of_words(&module("kept[i] = vec4<i32>(x[i]); workgroupBarrier(); y[i] = vec4<f32>(kept[63u - i]);")),
        3
    );
    // How long an array is does not change.
    let lengths = |software| rewritten(&module("if i < arrayLength(&x) { y[i] = x[i]; }"), software);
    for software in [WORDS, TEXTURES] {
        assert!(lengths(software).contains("arrayLength((&x))"), "{}", lengths(software));
    }
}

#[test]
fn what_is_only_read_becomes_textures() {
    let module = |body: &str| {
        format!(
            "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
            @group(0) @binding(1) var<storage, read> ids: array<u32>;
            @group(0) @binding(2) var<storage, read> halves: array<vec2<f32>>;
            @group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
            fn of_x(i: u32) -> vec4<f32> {{ return x[i]; }}
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {body} }}"
        )
    };
    // Vectors and numbers, whole and in parts, at places that are known and that are not.
    assert_eq!(textures(&module("y[i] = of_x(i);")), 1);
    assert_eq!(textures(&module("y[i] = x[i] * x[70000].x + x[i][i % 4u];")), 1);
    assert_eq!(textures(&module("y[i] = x[ids[i]] + f32(ids[5]);")), 2);
    assert_eq!(textures(&module("for (var j = 0u; j < ids[i]; j++) { y[j] = x[j + 1u].yxwz; }")), 2);
    // A signed index, and pairs, which stay.
    assert_eq!(textures(&module("y[i] = x[i32(i) - 1] + halves[i].xyxy;")), 1);
    // A vector lies in a row of 4096, a number in its vector.
    let places = rewritten(&module("y[i] = x[4097] + f32(ids[4u * 4096u * 2u + 6u]);"), TEXTURES);
    for place in ["vec2<u32>(1u, 1u)", "vec2<u32>(1u, 2u)", ".z"] {
        assert!(places.contains(place), "{place}: {places}");
    }
}

#[test]
fn what_is_also_written_is_read_by_textures_beside_it() {
    let module = |body: &str| {
        let text = format!(
            "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
            @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
            @group(0) @binding(2) var<storage, read_write> numbers: array<u32>;
            @compute @workgroup_size(64)
            fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ let i = id.x; {body} }}"
        );
        let count = |what: &str| rewritten(&text, TEXTURES).matches(what).count();
        [count("texture_storage_2d<rgba32float,read>"), count("array<vec2<u64>>"), count("textureLoad")]
    };
    // Of vectors the buffer holds words, of numbers it stays.
    assert_eq!(module("y[i] = y[i] * x[i] + y[i].wzyx;"), [2, 1, 3]);
    assert_eq!(module("numbers[i] = numbers[i] + 1u;"), [1, 0, 1]);
    assert_eq!(module("y[i] = x[i]; numbers[i] = 1u;"), [1, 1, 1]);
    // One pointer for both reads the buffer; where a number is written by itself all does.
    assert_eq!(module("y[i] += x[i];"), [2, 1, 1]);
    assert_eq!(module("y[i].x = y[i].y;"), [0, 0, 0]);
}

#[test]
fn what_is_not_known_stays_as_it_is() {
    let text = "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> y: atomic<u32>;
        @compute @workgroup_size(1) fn main() { atomicAdd(&y, u32(x[0].x)); }";
    assert_eq!(arrays_of_words(text), 0);
}

#[test]
fn every_kernel_for_software_drivers_is_known() {
    use crate::{
        catalogue::{Size, entries},
        data::DType,
        kernel::{DeviceClass, Target, assemble},
    };
    let software = Target { f16: true, ..Target::baseline().with_class(DeviceClass::Software) };
    let targets = [software.clone(), Target { subgroups: true, ..software }];
    let mut seen = std::collections::HashSet::new();
    for entry in entries() {
        for size in [Size::Tiny, Size::Medium] {
            let example = entry.example(size, DType::F32);
            let tensors: Vec<_> = example.outputs().iter().cloned().chain(example.gradients()).collect();
            let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
            let outputs: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
            for target in &targets {
                let Ok(plan) = example.graph().plan(&outputs, target) else { continue };
                let texts = plan.kernels().map(|kernel| assemble(kernel).unwrap());
                seen.extend(texts.filter(|text| text.contains("array<vec4<")));
            }
        }
    }
    assert!(seen.len() > 100, "{}", seen.len());
    for text in &seen {
        let module = naga::front::wgsl::parse_str(text).unwrap();
        let before = bindings(&module);
        for software in [WORDS, TEXTURES] {
            let (mut other, mut after) = (module.clone(), before.clone());
            software.apply(&mut other, &mut after);
            let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&other);
            info.unwrap_or_else(|error| panic!("{}", error.emit_to_string(text)));
            let reads = text.lines().any(|line| line.contains("var<storage, read>") && line.contains("array<vec4<"));
            assert!(!reads || format!("{other:?}") != format!("{module:?}"), "{text}");
            // What a plan copies into a texture is read from there: all vectors and numbers of 32 bits.
            let buffers: Vec<u32> =
                after.iter().filter(|(_, kind)| *kind == Kind::Read).map(|(number, _)| *number).collect();
            let left = module.global_variables.iter().any(|(_, variable)| {
                let number = variable.binding.as_ref().map(|binding| binding.binding);
                number.is_some_and(|number| buffers.contains(&number)) && array(variable, &module.types).is_some()
            });
            assert!(software == WORDS || !left, "{buffers:?} stay buffers in {text}");
        }
    }
}

/// n / d and n % d, of numbers and of vectors.
#[derive(Debug)]
struct Divide;

static DIVIDE: Shader = Shader {
    name: "divide",
    source: "// y = n / d, rest = n % d
    @group(0) @binding(0) var<storage, read> n: array<u32>;
    @group(0) @binding(1) var<storage, read> d: array<u32>;
    @group(0) @binding(2) var<storage, read_write> y: array<u32>;
    @group(0) @binding(3) var<storage, read_write> rest: array<u32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let i = id.x;
        if i >= arrayLength(&y) { return; }
        if i % 2u == 0u {
            y[i] = n[i] / d[i];
            rest[i] = n[i] % d[i];
        } else {
            y[i] = (vec3(7u, n[i], 9u) / vec3(2u, d[i], d[i])).y;
            rest[i] = (vec2(n[i], 9u) % vec2(d[i], n[i])).x;
        }
    }",
};

impl Op for Divide {
    fn name(&self) -> &'static str {
        "divide"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone(), inputs[1].clone()])
    }

    fn emit(&self, io: &Io, _target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let dispatch = Dispatch::new(Kernel::new(&DIVIDE, "main", DType::F32)).read(io.x(0)).read(io.x(1));
        out.push(dispatch.write(io.y(0)).write(io.y(1)).groups(io.x_shape(0).numel().div_ceil(64) as u64));
        Ok(())
    }
}

#[test]
fn quotients_are_exact() {
    let edges = (0..32).flat_map(|bits| [(1u32 << bits).wrapping_sub(1), 1 << bits, (1 << bits) + 1]);
    let edges: Vec<u32> = edges.chain([6, 7, 9, 10, 11, 1000, 0x00ff_fffd, u32::MAX - 1]).collect();
    // A linear congruence: Numerical Recipes' constants.
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let mut pairs: Vec<(u32, u32)> = edges.iter().flat_map(|&n| edges.iter().map(move |&d| (n, d))).collect();
    for _ in 0..100_000 {
        let (n, d) = (next(), next());
        pairs.push((n, d >> (next() >> 27)));
        // Just below and at a multiple.
        let multiple = n / d.max(1) * d;
        pairs.extend([(multiple, d), (multiple.wrapping_sub(1), d)]);
    }
    let (n, d): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let graph = Graph::new(Mode::Infer);
    let inputs = ["n", "d"].map(|name| graph.input_of(name, [n.len()], DType::U32));
    let outputs = graph.apply(Divide, &[&inputs[0], &inputs[1]]);
    let arrays = [("n", &n), ("d", &d)].map(|(name, x)| (name, Array::from_u32([x.len()], x).unwrap()));
    let found = run(&graph, &[("y", &outputs[0]), ("rest", &outputs[1])], &arrays).unwrap();
    let (quotients, rests) = (found[0].to_u32(), found[1].to_u32());
    for (i, (n, d)) in pairs.into_iter().enumerate() {
        let expected = (n.checked_div(d).unwrap_or(n), n.checked_rem(d).unwrap_or(0));
        assert_eq!((quotients[i], rests[i]), expected, "{n} / {d}");
    }
}
