//! A kernel through naga to the languages of all backends, and the limits every device has.

use naga::{
    AddressSpace, Module, ShaderStage, TypeInner, back,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::Path,
};
use wgrad::kernel::{Kernel, Target, assemble};

/// What a device may have beyond the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    Half,
    Subgroups,
    Cooperative,
    /// Three times the workgroup memory of the baseline.
    WorkgroupMemory,
}

impl Feature {
    fn capabilities(self) -> Capabilities {
        match self {
            Feature::Half => Capabilities::SHADER_FLOAT16,
            Feature::Subgroups => Capabilities::SUBGROUP,
            Feature::Cooperative => Capabilities::COOPERATIVE_MATRIX,
            Feature::WorkgroupMemory => Capabilities::empty(),
        }
    }
}

fn parse(source: &str, features: &[Feature]) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    // What always is: pack2x16float and unpack2x16float, which are part of WGSL itself.
    let baseline = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let capabilities = features.iter().fold(baseline, |all, feature| all | feature.capabilities());
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    info.map(|info| (module, info)).map_err(|error| error.emit_to_string(source))
}

/// Translates a kernel with its constants set, for devices with these features only, and keeps the texts in a folder,
/// where `check.sh` has them checked by others.
pub fn translate(kernel: &Kernel, features: &[Feature], folder: &Path) -> Result<(), String> {
    let source = assemble(kernel)?;
    let (module, info) = parse(&source, features)?;
    super::uniformity::check(&module, &source)?;
    known_lies(&module, &source)?;

    let constants = kernel.constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((ShaderStage::Compute, kernel.entry));
    let (module, info) = back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
        .map_err(|error| error.to_string())?;
    within_limits(&module, &info, kernel.entry, features)?;

    let mut hasher = DefaultHasher::new();
    (format!("{kernel:?}"), &kernel.chain).hash(&mut hasher);
    let name = format!("{}-{:016x}", kernel.label().replace('/', "-"), hasher.finish());
    let keep = |ending: &str, bytes: &[u8]| -> Result<(), String> {
        let folder = folder.join(ending);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        fs::write(folder.join(format!("{name}.{ending}")), bytes).map_err(|error| error.to_string())
    };

    let cooperative = largest_matrix(&module);
    let restrict = naga::proc::BoundsCheckPolicy::Restrict;
    let options = back::spv::Options {
        lang_version: if cooperative.is_some() { (1, 6) } else { (1, 3) },
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: restrict,
            buffer: restrict,
            ..Default::default()
        },
        ..Default::default()
    };
    let words = back::spv::write_vec(&module, &info, &options, None).map_err(|e| format!("SPIR-V: {e}"))?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    keep(if cooperative.is_some() { "cooperative.spv" } else { "spv" }, &bytes)?;

    // Metal has matrices of 8 rows only, DirectX and browsers have none.
    if cooperative.is_none_or(|side| side == 8) {
        let options = back::msl::Options { lang_version: (3, 0), fake_missing_bindings: true, ..Default::default() };
        let written = back::msl::write_string(&module, &info, &options, &back::msl::PipelineOptions::default());
        keep("metal", written.map_err(|e| format!("MSL: {e}"))?.0.as_bytes())?;
    }
    if cooperative.is_none() {
        let options = back::hlsl::Options {
            shader_model: back::hlsl::ShaderModel::V6_2,
            fake_missing_bindings: true,
            ..Default::default()
        };
        let mut text = String::new();
        let pipeline = back::hlsl::PipelineOptions::default();
        let written = back::hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None);
        let names = written.map_err(|e| format!("HLSL: {e}"))?.entry_point_names;
        let names: Vec<String> = names.into_iter().collect::<Result<_, _>>().map_err(|e| format!("HLSL: {e}"))?;
        keep("hlsl", format!("// {}\n{text}", names.join(" ")).as_bytes())?;

        // Browsers get the text as it is written here; this is for apps that keep shaders as naga writes them.
        back::wgsl::write_string(&module, &info, back::wgsl::WriterFlags::empty()).map_err(|e| format!("WGSL: {e}"))?;
    }
    Ok(())
}

/// The side of the largest cooperative matrix a module has.
fn largest_matrix(module: &Module) -> Option<u32> {
    let sides = module.types.iter().filter_map(|(_, ty)| match ty.inner {
        TypeInner::CooperativeMatrix { columns, rows, .. } => Some((columns as u32).max(rows as u32)),
        _ => None,
    });
    sides.max()
}

/// What naga translates without a word to something that does not compile or is not valid.
fn known_lies(module: &Module, source: &str) -> Result<(), String> {
    for (_, ty) in module.types.iter() {
        if let TypeInner::Atomic(scalar) = ty.inner
            && scalar.kind == naga::ScalarKind::Float
        {
            return Err("atomics of floats do not compile for DirectX, and add in any order".to_owned());
        }
    }
    // `array(x, y)` is of another type to naga than an alias of the same array, which neither SPIR-V nor HLSL take.
    let mut arrays = Vec::new();
    for (_, ty) in module.types.iter() {
        if let TypeInner::Array { base, size: size @ naga::ArraySize::Constant(_), .. } = ty.inner {
            if arrays.contains(&(base, size)) {
                return Err(format!("an array type has two names, one of them {:?}", ty.name));
            }
            arrays.push((base, size));
        }
    }
    if source.lines().any(|line| line.split("//").next().unwrap_or(line).contains("subgroupBarrier")) {
        return Err("subgroupBarrier is not valid SPIR-V".to_owned());
    }
    Ok(())
}

/// The threads, storage buffers and workgroup memory of an entry point against what every device has.
fn within_limits(module: &Module, info: &ModuleInfo, entry: &str, features: &[Feature]) -> Result<(), String> {
    let mut baseline = Target::baseline();
    if features.contains(&Feature::WorkgroupMemory) {
        baseline.max_workgroup_bytes = 48 << 10;
    }
    let at = module.entry_points.iter().position(|point| point.name == entry).ok_or("there is no such entry point")?;
    let threads: u32 = module.entry_points[at].workgroup_size.iter().product();
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let used = module.global_variables.iter().filter(|(handle, _)| !info.get_entry_point(at)[*handle].is_empty());
    let (mut buffers, mut bytes) = (0, 0);
    for (_, variable) in used {
        match variable.space {
            AddressSpace::Storage { .. } => buffers += 1,
            AddressSpace::WorkGroup => bytes += layouter[variable.ty].size,
            _ => {}
        }
    }
    for (what, has, limit) in [
        ("threads", threads, baseline.max_workgroup_threads),
        ("storage buffers", buffers, baseline.max_storage_buffers),
        ("bytes of workgroup memory", bytes, baseline.max_workgroup_bytes),
    ] {
        if has > limit {
            return Err(format!("{has} {what}, some devices have {limit}"));
        }
    }
    Ok(())
}

/// What is said about a bad kernel.
fn refusal(source: &'static str, features: &[Feature]) -> String {
    let shader: &'static wgrad::kernel::Shader = Box::leak(Box::new(wgrad::kernel::Shader { name: "bad", source }));
    let kernel = Kernel::new(shader, "main", wgrad::data::DType::F32);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad-shaders");
    translate(&kernel, features, &folder).unwrap_err()
}

#[test]
fn bad_kernels_are_refused() {
    let says = |source, features: &[Feature], text: &str| {
        let refusal = refusal(source, features);
        assert!(refusal.contains(text), "{refusal:?} does not say {text:?}");
    };
    let subgroups = "//\n@compute @workgroup_size(8) fn main() { _ = subgroupAdd(1.0); }";
    says(subgroups, &[], "SUBGROUP");
    says("//\n@compute @workgroup_size(512) fn main() {}", &[], "512 threads");
    says(
        "//\nvar<workgroup> x: array<vec4<f32>, 1025>; @compute @workgroup_size(64) fn main() { x[0] = vec4<f32>(); }",
        &[],
        "16400 bytes of workgroup memory",
    );
    says("//\n@compute @workgroup_size(8) fn main() { subgroupBarrier(); }", &[Feature::Subgroups], "subgroupBarrier");
    says(
        "//\n@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) t: u32) { if t < 2u { workgroupBarrier(); } }",
        &[],
        "some threads only",
    );
    let pair = "alias Pair = array<f32, 2>; fn pair() -> Pair { return array(1.0, 2.0); }
        @compute @workgroup_size(8) fn main() { _ = pair(); }";
    says(pair, &[], "two names");
    let atomic = "//\n@group(0) @binding(0) var<storage, read_write> x: array<atomic<f32>>;
        @compute @workgroup_size(8) fn main() { atomicAdd(&x[0], 1.0); }";
    assert!(!refusal(atomic, &[]).is_empty());
    let module = naga::front::wgsl::parse_str(atomic).unwrap();
    assert!(known_lies(&module, atomic).unwrap_err().contains("atomics of floats"));
}
