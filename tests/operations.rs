//! The walk over all operations: who has a gradient, who a second one, in which element types and variants,
//! written to `docs/operations.md`; and every second gradient against differences of the first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};
use wgrad::{
    autodiff::gradients,
    catalogue::{Entry, Example, Size, entries},
    kernel::{CooperativeMatrix, DeviceClass, Target},
    prelude::*,
    testing::context,
};

/// Other names and options of operations in the catalogue, and methods that change variables.
const NOT_OPERATIONS: &[&str] = &[
    "advance",
    "assign",
    "constant",
    "cross_entropy_with",
    "increment",
    "max_pool1d_with_index",
    "max_pool2d_with_index",
    "max_pool3d_with_index",
    "t",
];

/// The kinds of device a kernel may have a variant for.
fn targets() -> Vec<(&'static str, Target)> {
    let baseline = Target { f16: true, ..Target::baseline() };
    let software = baseline.with_class(DeviceClass::Software);
    let squares = [DType::F32, DType::F16].map(|dtype| CooperativeMatrix::square(8, dtype));
    let subgroups = Target { subgroups: true, ..baseline.with_class(DeviceClass::Discrete) };
    vec![
        ("portable", baseline.clone()),
        ("subgroups", subgroups.clone()),
        ("cooperative matrices", Target { cooperative: squares.to_vec(), ..subgroups }),
        ("software", software.clone()),
        ("software with subgroups", Target { subgroups: true, ..software }),
    ]
}

/// What an example computes: its results, and their gradients where there are any.
fn outputs(example: &Example, gradients: &[Tensor]) -> Vec<(String, Tensor)> {
    let results = example.outputs().iter().enumerate().map(|(i, y)| (format!("y{i}"), y.clone()));
    results.chain(gradients.iter().enumerate().map(|(i, dx)| (format!("dx{i}"), dx.clone()))).collect()
}

fn named(outputs: &[(String, Tensor)]) -> Vec<(&str, &Tensor)> {
    outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect()
}

/// The kernels of examples and their gradients for a target, in order: file and entry point. Little work may have a
/// kernel of its own.
fn kernels(entry: &Entry, dtype: DType, target: &Target) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for size in [Size::Tiny, Size::Medium] {
        let mut example = entry.example(size, dtype);
        let mut gradients = example.gradients();
        if example.graph().check().is_err() {
            // Without a gradient the graph has recorded a mistake: only the results are left.
            (example, gradients) = (entry.example(size, dtype), Vec::new());
        }
        let plan = example.graph().plan(&named(&outputs(&example, &gradients)), target)?;
        found.extend(plan.kernels().map(|kernel| kernel.label()));
    }
    Ok(found)
}

#[derive(Debug, PartialEq)]
enum Derivative {
    /// There are no numbers to differentiate, or none come out.
    NoNumbers,
    /// It is zero everywhere.
    Zero,
    Some,
    /// Asking for it is an error, with this text.
    Refused(String),
}

impl Derivative {
    fn cell(&self) -> String {
        match self {
            Derivative::NoNumbers => "–".to_owned(),
            Derivative::Zero => "0".to_owned(),
            Derivative::Some => "yes".to_owned(),
            Derivative::Refused(text) => format!("refused: {}", text.split(':').next().unwrap_or(text)),
        }
    }
}

fn derivative(example: &Example, gradients: &[Tensor], numbers: bool) -> Derivative {
    match example.graph().check() {
        Err(error) => Derivative::Refused(error.to_string()),
        Ok(()) if !numbers => Derivative::NoNumbers,
        Ok(()) if gradients.is_empty() => Derivative::Zero,
        Ok(()) => Derivative::Some,
    }
}

/// Σ w·(dL/dx) with its gradients, where there is any.
fn second(example: &Example, first: &[Tensor]) -> (Option<Tensor>, Vec<Tensor>) {
    let floats = example.floats();
    let Some(sum) = example.weighted(&first.iter().collect::<Vec<_>>()) else { return (None, Vec::new()) };
    let found = gradients(&sum, &floats).into_iter().flatten().collect();
    (Some(sum), found)
}

#[test]
fn the_table_of_operations_is_up_to_date() {
    let mut table = String::from(
        "# Operations\n\nMade by `tests/operations.rs`. Gradients are checked against finite differences of an `f64` definition. \
         0: the gradient is zero everywhere. –: there are no numbers to differentiate. refused: asking for it is an error that names the operation. \
         All variants exist in `f32`, and in `f16` with sums in `f32` where the column says so.\n\n\
         | operation | PyTorch | definition | gradient | second gradient | f16 | variants |\n|---|---|---|---|---|---|---|\n",
    );
    let mut names: Vec<&Entry> = entries().collect();
    names.sort_by_key(|entry| entry.name);
    for entry in names {
        let example = entry.example(Size::Tiny, DType::F32);
        example.graph().check().unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        let numbers = example.loss().is_some() && !example.floats().is_empty();
        let first = example.gradients();
        let gradient = derivative(&example, &first, numbers);
        let second_gradient = if gradient == Derivative::Some {
            let (_, found) = second(&example, &first);
            derivative(&example, &found, true)
        } else {
            Derivative::NoNumbers
        };
        let f16 = kernels(entry, DType::F16, &Target { f16: true, ..Target::baseline() }).is_ok();
        let mut variants: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        let mut own = Vec::new();
        for (name, target) in targets() {
            let single = kernels(entry, DType::F32, &target).unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            let half = kernels(entry, DType::F16, &target).unwrap_or_default();
            if variants.insert([single, half].concat(), name).is_none() {
                own.push(name);
            }
        }
        let variants = if own.len() == 1 { "one for all".to_owned() } else { own.join(", ") };
        let escape = |text: &str| text.replace('|', "\\|").replace('[', "\\[").replace(']', "\\]");
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {variants} |",
            entry.name,
            if entry.torch.is_empty() { "–".to_owned() } else { format!("`{}`", entry.torch) },
            escape(entry.formula),
            gradient.cell(),
            second_gradient.cell(),
            if f16 { "yes" } else { "no" },
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    if std::env::var_os("WGRAD_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &table).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        known == table,
        "docs/operations.md is out of date; WGRAD_BLESS=1 cargo test --all-features operations writes it:\n{table}"
    );
}

fn rust_files(folder: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_method_that_computes_is_in_the_catalogue_with_docs() {
    let mut files = Vec::new();
    rust_files(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops"), &mut files);
    let known: BTreeSet<&str> = entries().map(|entry| entry.name).collect();
    assert_eq!(known.len(), entries().count(), "a name is twice in src/catalogue");
    let mut missing = Vec::new();
    let mut undocumented = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let text = &text[..text.find("#[cfg(test)]").unwrap_or(text.len())];
        let mut inside = false;
        let mut docs = String::new();
        for line in text.lines() {
            if line.starts_with("impl") {
                inside = line == "impl Tensor {" || line == "impl Graph {";
            }
            if let Some(line) = line.trim_start().strip_prefix("///") {
                docs.push_str(line);
                docs.push('\n');
            } else if let Some(rest) = line.strip_prefix("    pub fn ").filter(|_| inside) {
                let name = rest.split(['(', '<']).next().unwrap();
                if !known.contains(name) && !NOT_OPERATIONS.contains(&name) {
                    missing.push(name.to_owned());
                }
                let named = docs.contains("torch") || docs.contains("No counterpart");
                if !(NOT_OPERATIONS.contains(&name) || named && docs.contains("# Gradient")) {
                    undocumented.push(name.to_owned());
                }
                docs.clear();
            } else if !line.trim_start().starts_with("#[") {
                docs.clear();
            }
        }
    }
    assert!(missing.is_empty(), "not in src/catalogue: {missing:?}");
    assert!(undocumented.is_empty(), "their docs do not name PyTorch's function and the gradient: {undocumented:?}");
}

/// Σ w·(dL/dx) changes along a direction as its gradient says.
fn check_second_gradient(entry: &Entry) {
    let example = entry.example(Size::Tiny, DType::F32);
    let first = example.gradients();
    if example.graph().check().is_err() {
        return;
    }
    let Some(sum) = example.weighted(&first.iter().collect::<Vec<_>>()) else { return };
    let found = gradients(&sum, &example.floats());
    if example.graph().check().is_err() || found.iter().all(Option::is_none) {
        return;
    }
    let slopes: Vec<(String, Tensor)> =
        example.names_of_floats().into_iter().zip(found).filter_map(|(name, dx)| Some((name, dx?))).collect();
    let outputs: Vec<(&str, &Tensor)> = named(&slopes).into_iter().chain([("sum", &sum)]).collect();
    let plan = example.graph().plan(&outputs, context().target()).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
    let weights = Weights::init(context(), &plan, 1).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    example.fill(&session, 3).unwrap();
    let numbers = |seed| -> BTreeMap<String, Array> {
        example.numbers(seed).into_iter().map(|(name, array)| (name, array.unwrap())).collect()
    };
    let (at, along) = (numbers(3), numbers(4));
    let run = |step: f32| -> f64 {
        for (name, _) in &slopes {
            let moved: Vec<f32> =
                at[name].to_f32().iter().zip(along[name].to_f32()).map(|(x, d)| x + step * (d - 0.3)).collect();
            session.write(name, &Array::from_f32(at[name].shape(), &moved).unwrap()).unwrap();
        }
        session.run().unwrap();
        f64::from(session.read_blocking("sum").unwrap().to_f32()[0])
    };
    let step = 2e-3;
    let (above, below) = (run(step), run(-step));
    let difference = (above - below) / (2.0 * f64::from(step));
    run(0.0);
    let (mut slope, mut norm) = (0.0, 0.0);
    for (name, _) in &slopes {
        let dx = session.read_blocking(name).unwrap().to_f32();
        for (dx, d) in dx.iter().zip(along[name].to_f32()) {
            slope += f64::from(*dx) * (f64::from(d) - 0.3);
            norm += f64::from(*dx).powi(2);
        }
    }
    let allowed = 0.02 * norm.sqrt() + 1e-3 * (1.0 + above.abs());
    assert!(
        (difference - slope).abs() <= allowed,
        "{}: the second gradient says {slope}, differences of the first say {difference} (± {allowed})",
        entry.name
    );
}

#[test]
fn second_gradients_match_differences_of_first_gradients() {
    for entry in entries() {
        check_second_gradient(entry);
    }
}
