//! Checkpoints: what is saved comes back, and what does not fit or is no checkpoint says so.

use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{fs, io::Cursor, path::Path};
use wgrad::{
    checkpoint::{self, Load},
    optim::Sgd,
    prelude::*,
    testing::context,
};

/// Weights of a small training graph: w, b, a momentum for each, and the step.
fn trained(seed: u64) -> Weights {
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("head.w", [2, 3], Init::normal(1.0));
    let b = graph.parameter("head.b", [3], Init::normal(1.0));
    let loss = w.square().sum_all() + b.square().sum_all();
    Sgd::new(0.1).momentum(0.9).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, seed).unwrap();
    Session::new(context(), plan, &weights).unwrap().run().unwrap();
    weights
}

/// Weights of a graph that only uses the parameters.
fn model() -> Weights {
    let graph = Graph::new(Mode::Infer);
    let y = graph.parameter("head.w", [2, 3], Init::zeros()) + graph.parameter("head.b", [3], Init::zeros());
    Weights::init(context(), &graph.plan(&[("y", &y)], context().target()).unwrap(), 0).unwrap()
}

fn numbers(weights: &Weights) -> Vec<(String, Array)> {
    weights.variables().iter().map(|v| (v.name.to_string(), weights.read(&v.name).unwrap())).collect()
}

/// A file's bytes from a header's text and a number of zero bytes behind it.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn load_bytes(weights: &Weights, bytes: &[u8]) -> Result<(), Error> {
    Load::new().without_training_state().reader(weights, "test", Cursor::new(bytes))
}

fn refusal(weights: &Weights, bytes: &[u8]) -> String {
    let error = load_bytes(weights, bytes).unwrap_err();
    assert!(error.is_checkpoint(), "{error}");
    error.to_string()
}

#[test]
fn all_that_is_saved_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let (saved, other) = (trained(1), trained(2));
    assert_ne!(numbers(&saved), numbers(&other));
    checkpoint::save(&saved, &path).unwrap();
    checkpoint::load(&other, &path).unwrap();
    assert_eq!(numbers(&saved), numbers(&other));

    // The same numbers give the same file, and nothing else is left in the folder.
    let first = fs::read(&path).unwrap();
    checkpoint::save(&other, &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_tools_can_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let weights = trained(1);
    checkpoint::save(&weights, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let expected = ["head.b", "head.w", "optimizer.momentum_buffer.head.b", "optimizer.momentum_buffer.head.w", "step"];
    assert_eq!(names, expected);
    let w = file.tensor("head.w").unwrap();
    assert_eq!((w.dtype(), w.shape()), (Dtype::F32, &[2, 3][..]));
    assert_eq!(w.data(), weights.read("head.w").unwrap().bytes());
    assert_eq!(file.tensor("step").unwrap().data(), [1, 0, 0, 0]);
    let start = w.data().as_ptr() as usize - bytes.as_ptr() as usize;
    assert_eq!(start % 4, 0, "tensors are aligned");
}

#[test]
fn half_precision_is_saved_as_it_is() {
    if !context().target().f16 {
        return;
    }
    let graph = Graph::new(Mode::Infer);
    let w = graph.parameter_of("w", TensorDesc::new([3], DType::F16), Init::normal(1.0));
    let v = graph.parameter("a", [1], Init::normal(1.0));
    let plan = graph.plan(&[("w", &w), ("v", &v)], context().target()).unwrap();
    let [saved, other] = [1, 2].map(|seed| Weights::init(context(), &plan, seed).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    checkpoint::save(&saved, &path).unwrap();
    checkpoint::load(&other, &path).unwrap();
    assert_eq!(numbers(&saved), numbers(&other));

    // And a file of wider numbers is rounded.
    let bytes: Vec<u8> = [1.0f32, 0.1, -2.5].iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![3], &bytes).unwrap();
    let file = safetensors::serialize([("w", view)], None).unwrap();
    Load::new().allow_missing("a").reader(&other, "test", Cursor::new(file)).unwrap();
    assert_eq!(other.read("w").unwrap(), Array::from_f32_as(DType::F16, [3], &[1.0, 0.1, -2.5]).unwrap());
}

#[test]
fn narrow_floats_are_widened() {
    let weights = model();
    let w: Vec<u8> = (0..6).flat_map(|i| bf16::from_f32(i as f32 - 2.5).to_le_bytes()).collect();
    let b: Vec<u8> = (0..3).flat_map(|i| f16::from_f32(i as f32 * 0.25).to_le_bytes()).collect();
    let views = [
        ("head.w", TensorView::new(Dtype::BF16, vec![2, 3], &w).unwrap()),
        ("head.b", TensorView::new(Dtype::F16, vec![3], &b).unwrap()),
    ];
    load_bytes(&weights, &safetensors::serialize(views, None).unwrap()).unwrap();
    assert_eq!(weights.read("head.w").unwrap().to_f32(), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
    assert_eq!(weights.read("head.b").unwrap().to_f32(), [0.0, 0.25, 0.5]);
}

#[test]
fn everything_that_does_not_fit_is_one_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let zeros = [0; 24];
    let views = [
        ("head.b", TensorView::new(Dtype::F32, vec![4], &zeros[..16]).unwrap()),
        ("head.w", TensorView::new(Dtype::I32, vec![2, 3], &zeros).unwrap()),
        ("step", TensorView::new(Dtype::F32, vec![], &zeros[..4]).unwrap()),
        ("tail.w", TensorView::new(Dtype::F32, vec![1], &zeros[..4]).unwrap()),
        ("body", TensorView::new(Dtype::F32, vec![0], &[]).unwrap()),
    ];
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let weights = trained(1);
    let before = numbers(&weights);
    let error = checkpoint::load(&weights, &path).unwrap_err();
    assert!(error.is_checkpoint());
    let expected = "does not fit the weights
  missing: optimizer.momentum_buffer.head.b, optimizer.momentum_buffer.head.w
  unexpected: body, tail.w
  shape of head.b: [4] in the file, [3] is wanted
  type of head.w: I32 in the file, f32 is wanted
  type of step: F32 in the file, u32 is wanted";
    assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
    assert_eq!(numbers(&weights), before, "nothing is loaded from a file that does not fit");
}

#[test]
fn a_model_loads_without_the_state_of_training_and_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let (full, small) = (folder.path().join("full"), folder.path().join("small"));
    let (weights, model) = (trained(1), model());
    checkpoint::save(&weights, &full).unwrap();

    let error = checkpoint::load(&model, &full).unwrap_err();
    let expected = "does not fit the weights
  unexpected: optimizer.momentum_buffer.head.b, optimizer.momentum_buffer.head.w, step
  help: load_parameters leaves the state of training as it is";
    assert_eq!(error.to_string(), format!("{}: {expected}", full.display()));
    checkpoint::load_parameters(&model, &full).unwrap();
    assert_eq!(model.read("head.w").unwrap(), weights.read("head.w").unwrap());

    checkpoint::save(&model, &small).unwrap();
    let other = trained(2);
    assert!(checkpoint::load(&other, &small).unwrap_err().to_string().contains("\n  missing: optimizer."));
    let moments = other.read("optimizer.momentum_buffer.head.w").unwrap();
    checkpoint::load_parameters(&other, &small).unwrap();
    assert_eq!(other.read("head.w").unwrap(), weights.read("head.w").unwrap());
    assert_eq!(other.read("optimizer.momentum_buffer.head.w").unwrap(), moments);
    assert_eq!(other.read("step").unwrap().to_u32(), [1]);
}

#[test]
fn prefixes_may_be_allowed() {
    let bytes = file(
        r#"{"head.b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"old.x":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#,
        16,
    );
    let weights = model();
    let load = Load::new().allow_missing("head.w").ignore_unexpected("old.");
    load.reader(&weights, "test", Cursor::new(&bytes)).unwrap();
    assert_eq!(refusal(&weights, &bytes), "test: does not fit the weights\n  missing: head.w\n  unexpected: old.x");
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let weights = model();
    assert_eq!(refusal(&weights, b"abc"), "test: is no safetensors file: it has 3 bytes");
    let said = refusal(&weights, b"\xff\xff\xff\xff\xff\xff\xff\xff{}");
    assert_eq!(
        said,
        "test: is no whole safetensors file: its header should have 18446744073709551615 bytes, the file has 10"
    );
    let said = refusal(&weights, &file("{\"a\":", 0));
    assert_eq!(said, "test: is no safetensors file: EOF while parsing a value at line 1 column 5");
    let said = refusal(&weights, &file("\u{fffd}\u{fffd}", 0));
    assert_eq!(said, "test: is no safetensors file: expected value at line 1 column 1");
    let said = refusal(&weights, &file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4));
    assert_eq!(said, "test: is no whole safetensors file: its tensors should have 8 bytes, it has 4");
    let said = refusal(&weights, &file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 12));
    assert_eq!(said, "test: is no whole safetensors file: its tensors should have 8 bytes, it has 12");
    let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let said = refusal(&weights, &file(overlapping, 12));
    assert_eq!(said, "test: is no safetensors file: invalid offset for tensor `b`");
    let said = refusal(&weights, &file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8));
    assert_eq!(said, "test: is no safetensors file: invalid offset for tensor `a`");
    let said =
        refusal(&weights, &file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8));
    assert_eq!(said, "test: is no safetensors file: overflow computing buffer size from shape and/or element type");
    let said = refusal(&weights, &file(r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,8]}}"#, 8));
    assert_eq!(said, "test: is no safetensors file: invalid shape, data type, or offset for tensor");
    let end = u64::MAX - 3;
    let said = refusal(
        &weights,
        &file(&format!(r#"{{"a":{{"dtype":"F32","shape":[4611686018427387903],"data_offsets":[0,{end}]}}}}"#), 8),
    );
    assert_eq!(said, "test: is no safetensors file: overflow computing buffer size from shape and/or element type");
}

#[test]
fn files_that_cannot_be_read_or_written_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none").join("a.safetensors");
    let weights = model();
    let error = checkpoint::load(&weights, &path).unwrap_err();
    assert!(error.is_checkpoint());
    let missing = std::io::Error::from_raw_os_error(2);
    assert_eq!(error.to_string(), format!("{}: cannot be opened: {missing}", path.display()));
    let error = checkpoint::save(&weights, &path).unwrap_err();
    assert!(error.is_checkpoint());
    assert_eq!(error.to_string(), format!("{}: cannot be written: {missing}", path.display()));
    let error = checkpoint::save(&weights, Path::new("/")).unwrap_err();
    assert_eq!(error.to_string(), "/: cannot be written: the path has no file name");
    // A folder cannot be replaced by a file; what was begun is removed.
    fs::create_dir_all(folder.path().join("taken").join("inside")).unwrap();
    checkpoint::save(&weights, folder.path().join("taken")).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn valid_file() -> Vec<u8> {
    let header = r#"{"head.b":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"head.w":{"dtype":"F32","shape":[2,3],"data_offsets":[12,36]}}"#;
    file(header, 36)
}

#[test]
fn every_truncation_is_refused() {
    let (weights, bytes) = (model(), valid_file());
    load_bytes(&weights, &bytes).unwrap();
    for length in 0..bytes.len() {
        refusal(&weights, &bytes[..length]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = valid_file();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(outcome(&bytes));
    }

    #[test]
    fn headers_with_any_numbers_never_panic(shape in prop::collection::vec(any::<u64>(), 0..4), offsets: (u64, u64), data in 0usize..64) {
        let (from, to) = offsets;
        let header = format!(r#"{{"head.b":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{from},{to}]}}}}"#);
        prop_assert!(outcome(&file(&header, data)));
    }
}

/// Whether bytes are loaded or refused as a checkpoint.
fn outcome(bytes: &[u8]) -> bool {
    thread_local!(static MODEL: Weights = model());
    MODEL.with(|weights| load_bytes(weights, bytes).err().is_none_or(|error| error.is_checkpoint()))
}

/// A file with these tensors of `f32`.
fn write(path: &Path, tensors: &[(&str, &[usize], &[f32])]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, x)| x.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        ((*name).to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_model_in_several_files_loads_by_its_index_and_under_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("model-1.safetensors"), &[("bert.head.gamma", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]);
    write(&at("model-2.safetensors"), &[("bert.head.b", &[3], &[7.0, 8.0, 9.0])]);
    let index = r#"{"metadata": {"total_size": 36},
        "weight_map": {"bert.head.gamma": "model-1.safetensors", "bert.head.b": "model-2.safetensors"}}"#;
    fs::write(at("model.safetensors.index.json"), index).unwrap();
    let weights = model();
    let load = Load::new().replace("^bert.", "").replace("gamma", "w");
    load.file(&weights, at("model.safetensors.index.json")).unwrap();
    assert_eq!(weights.read("head.w").unwrap().to_f32(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(weights.read("head.b").unwrap().to_f32(), [7.0, 8.0, 9.0]);

    let mistake = |text: &str| {
        fs::write(at("wrong.json"), text).unwrap();
        let error = load.file(&weights, at("wrong.json")).unwrap_err();
        assert!(error.is_checkpoint());
        error.to_string().replace(&folder.path().display().to_string(), "")
    };
    let form = "/wrong.json: is no index of safetensors files: it needs a weight_map from names to files beside it";
    assert_eq!(mistake("{}"), form);
    assert_eq!(mistake(r#"{"weight_map": {"a": 1}}"#), form);
    assert_eq!(mistake(r#"{"weight_map": {"a": "../model-1.safetensors"}}"#), form);
    assert!(mistake(r#"{"weight_map": {"a": "none.safetensors"}}"#).starts_with("/none.safetensors: cannot be opened"));
    assert!(mistake("[").starts_with("/wrong.json: is no index of safetensors files: EOF"));
    let missing = mistake(r#"{"weight_map": {"bert.head.b": "model-2.safetensors"}}"#);
    assert_eq!(missing, "/wrong.json: does not fit the weights\n  missing: head.w");
    let twice = Load::new().replace("bert.head.gamma", "x").replace("bert.head.b", "x");
    let error = twice.file(&weights, at("model.safetensors.index.json")).unwrap_err().to_string();
    assert!(error.ends_with("has x twice"), "{error}");
}

/// The largest amount of memory this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// 240 MB of parameters, in matrices of `f32`; one of them is `bf16` in the file.
#[cfg(target_os = "linux")]
const LARGE: [usize; 2] = [5_000, 3_000];

/// Loads a large file in a process of its own and says what that needed: a process's peak is that of all its threads.
#[cfg(target_os = "linux")]
#[test]
fn loading_holds_no_second_copy_in_host_memory() {
    const VARIABLE: &str = "WGRAD_TEST_LARGE_FILE";
    let names = ["a", "b", "c", "d"];
    if let Some(path) = std::env::var_os(VARIABLE) {
        let graph = Graph::new(Mode::Infer);
        let sum = names.map(|name| graph.parameter(name, LARGE, Init::ones()).mean_all());
        let plan = graph.plan(&[("y", &(&(&sum[0] + &sum[1]) + &(&sum[2] + &sum[3])))], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.run().unwrap();
        assert_eq!(session.read_blocking("y").unwrap().to_f32(), [4.0]);
        // The device's memory is the process's own on a software driver: by now all of it is in use.
        let before = peak();
        checkpoint::load(&weights, &path).unwrap();
        println!("needed {} bytes", peak() - before);
        session.run().unwrap();
        assert_eq!(session.read_blocking("y").unwrap().to_f32(), [8.0]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.safetensors");
    let count = LARGE[0] * LARGE[1];
    let (wide, narrow) = (2.0_f32.to_le_bytes().repeat(count), bf16::from_f32(2.0).to_le_bytes().repeat(count));
    let views = names.map(|name| {
        let (dtype, bytes) = if name == "d" { (Dtype::BF16, &narrow) } else { (Dtype::F32, &wide) };
        (name, TensorView::new(dtype, LARGE.to_vec(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let own = ["checkpoint::loading_holds_no_second_copy_in_host_memory", "--exact", "--nocapture"];
    let program = std::process::Command::new(std::env::current_exe().unwrap()).args(own).env(VARIABLE, &path).output();
    let output = program.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let needed = said.split("needed ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let (needed, file) = (needed.parse::<u64>().unwrap(), fs::metadata(&path).unwrap().len());
    // A piece of the file, the same converted, and what waits for the device.
    assert!(needed < file / 2, "{needed} bytes for a file of {file}");
}

#[test]
fn a_file_that_has_become_shorter_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let numbers = vec![1.0_f32; 6000];
    write(&path, &[("w", &[6000], &numbers)]);
    let bytes = fs::read(&path).unwrap();
    for length in [0, 100, 5000, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = checkpoint::inspect(&path).unwrap_err();
        assert!(error.is_checkpoint(), "{error}");
    }
}

#[test]
fn doubles_are_narrowed_and_a_name_may_stand_in_for_another() {
    let weights = model();
    let w: Vec<u8> = (0..6).flat_map(|i| (f64::from(i) / 3.0).to_le_bytes()).collect();
    let b: Vec<u8> = (0..3).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let views = [
        ("head.w", TensorView::new(Dtype::F64, vec![2, 3], &w).unwrap()),
        ("copy.b", TensorView::new(Dtype::F32, vec![3], &b).unwrap()),
    ];
    let bytes = safetensors::serialize(views, None).unwrap();
    let load = Load::new().stand_in("head.b", "none").stand_in("head.b", "copy.b");
    load.reader(&weights, "test", Cursor::new(&bytes)).unwrap();
    let thirds: Vec<f32> = (0..6).map(|i| (f64::from(i) / 3.0) as f32).collect();
    assert_eq!(weights.read("head.w").unwrap().to_f32(), thirds);
    assert_eq!(weights.read("head.b").unwrap().to_f32(), [0.0, 1.0, 2.0]);
    // Where both are there, the other one is as unexpected as any.
    let error = load.stand_in("head.w", "copy.b").reader(&trained(1), "test", Cursor::new(&bytes)).unwrap_err();
    assert!(error.to_string().contains("missing: optimizer."), "{error}");

    let huge = [1e39_f64.to_le_bytes(), 0.0_f64.to_le_bytes(), 0.0_f64.to_le_bytes()].concat();
    let views = [("head.b", TensorView::new(Dtype::F64, vec![3], &huge).unwrap())];
    let bytes = safetensors::serialize(views, None).unwrap();
    let error = Load::new().allow_missing("head.w").reader(&weights, "test", Cursor::new(&bytes)).unwrap_err();
    assert_eq!(error.to_string(), "test: head.b has 1e39, which is no f32");
}
