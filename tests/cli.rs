//! The program, as a user runs it.

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn wgrad(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgrad")).current_dir(folder).args(arguments).output().unwrap()
}

pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).to_string()
}

pub fn lines(output: &Output) -> Vec<serde_json::Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn mistake(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| !line.contains("XDG_RUNTIME_DIR"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_same_seed_gives_the_same_checkpoint_and_resuming_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str, more: &[&str]| {
        let mut arguments = vec!["train", "digits", "--epochs", "3", "--json", "--checkpoint", name];
        arguments.extend_from_slice(more);
        lines(&wgrad(folder.path(), &arguments))
    };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();

    let whole = train("a.safetensors", &[]);
    assert_eq!(whole.len(), 4, "three epochs and the result");
    let accuracy = whole[3]["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{accuracy}");
    train("b.safetensors", &[]);
    assert!(read("a.safetensors") == read("b.safetensors"), "two runs with one seed differ");
    train("c.safetensors", &["--seed", "1"]);
    assert!(read("a.safetensors") != read("c.safetensors"), "two seeds give the same");

    train("d.safetensors", &["--stop-after", "1"]);
    assert!(read("a.safetensors") != read("d.safetensors"));
    let rest = train("d.safetensors", &["--resume"]);
    assert_eq!(rest[0]["epoch"], 2);
    assert!(read("a.safetensors") == read("d.safetensors"), "stopping and resuming gives other bits");
    assert!(read("digits.png").starts_with(b"\x89PNG"));

    let shown = lines(&wgrad(
        folder.path(),
        &["predict", "digits", "--checkpoint", "a.safetensors", "--index", "17", "--json"],
    ));
    let sum: f64 = shown[0]["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5 && shown[0]["label"] == 7, "{}", shown[0]);
    let held = lines(&wgrad(folder.path(), &["inspect", "a.safetensors", "--json"]));
    let named = |name: &str| held[0]["tensors"].as_array().unwrap().iter().find(|t| t["name"] == name).unwrap().clone();
    assert_eq!(named("0.weight")["shape"], serde_json::json!([16, 1, 3, 3]));
    assert_eq!(named("step")["dtype"], "U32");
    assert!(text(&wgrad(folder.path(), &["inspect", "a.safetensors"])).contains("8.linear1.weight"));
    let shown = text(&wgrad(folder.path(), &["predict", "digits", "--checkpoint", "a.safetensors", "--index", "17"]));
    assert!(shown.contains("digit 17: taken for"), "{shown}");

    let outside = wgrad(folder.path(), &["predict", "digits", "--checkpoint", "a.safetensors", "--index", "1797"]);
    assert_eq!(mistake(&outside), "error: there is no digit 1797: there are 1797, counted from 0");
}

#[test]
fn devices_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let found = lines(&wgrad(folder.path(), &["devices", "--json"]));
    let first = &found[0][0];
    assert!(first["name"].is_string() && first["limits"]["max_binding_bytes"].as_u64().unwrap() >= 128 << 20);
    assert!(text(&wgrad(folder.path(), &["devices"])).contains("largest binding"));
}

#[test]
fn operations_are_timed_against_the_roofline() {
    let folder = tempfile::tempdir().unwrap();
    let found = lines(&wgrad(folder.path(), &["bench", "relu", "--size", "small", "--budget", "0", "--json"]));
    assert!(found[0]["roofline"]["gflops"].as_f64().unwrap() > 0.1 && found[0]["device"].is_string());
    let passes: Vec<&str> = found[1..].iter().map(|row| row["pass"].as_str().unwrap()).collect();
    assert_eq!(passes, ["forward", "backward"]);
    assert!(found[1..].iter().all(|row| row["operation"] == "relu" && row["seconds"].as_f64().unwrap() > 0.0));
    let table = text(&wgrad(folder.path(), &["bench", "sign", "--size", "small", "--budget", "0"]));
    assert!(table.contains("GFLOP/s") && table.lines().last().unwrap().starts_with("sign"), "{table}");
    assert_eq!(
        mistake(&wgrad(folder.path(), &["bench", "frobnicate"])),
        "error: bench: no operation's name contains \"frobnicate\"\n  help: docs/operations.md lists them"
    );
}

#[test]
fn a_summary_counts_what_is_known_of_alexnet() {
    let folder = tempfile::tempdir().unwrap();
    let found = lines(&wgrad(folder.path(), &["summary", "alexnet", "--batch", "2", "--json"]));
    assert_eq!(found[0]["parameters"], 61_100_840);
    let layers = found[0]["layers"].as_array().unwrap();
    let named = |name: &str| layers.iter().find(|layer| layer["layer"] == name).unwrap();
    assert_eq!(named("features.0")["output"], serde_json::json!([2, 64, 55, 55]));
    assert_eq!(named("classifier.6")["parameters"], 4_097_000);
    // 0.714 · 10⁹ multiply-adds for an image, as the literature counts them.
    let flops = found[0]["inference"]["flops"].as_f64().unwrap();
    assert!((flops / 4.0 / 0.714e9 - 1.0).abs() < 0.01, "{flops}");
    assert!(text(&wgrad(folder.path(), &["summary", "digits"])).contains("parameters, batch 1"));
}

#[test]
fn a_profile_has_a_row_for_each_layer_and_a_slice_for_each_dispatch() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["profile", "digits", "--batch", "4", "--train", "--runs", "2", "--trace", "t.json", "--json"];
    let layers = lines(&wgrad(folder.path(), &arguments));
    let (all, layers) = layers.split_last().unwrap();
    assert_eq!(all["layer"], "(all)");
    assert!(layers.iter().any(|layer| layer["layer"] == "8.linear1"), "{layers:?}");
    let sum = |what: &str| layers.iter().map(|layer| layer[what].as_u64().unwrap()).sum::<u64>();
    assert_eq!(all["dispatches"].as_u64().unwrap(), sum("dispatches"));
    assert_eq!(all["flops"].as_u64().unwrap(), sum("flops"));
    let trace: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("t.json")).unwrap()).unwrap();
    let slices = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["cat"] == "dispatch");
    assert_eq!(slices.count() as u64, sum("dispatches"));
    assert!(text(&wgrad(folder.path(), &["profile", "digits"])).contains("(all)"));
}

#[test]
fn wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.csv"), "1,2,3\n").unwrap();
    std::fs::write(folder.path().join("bad.safetensors"), "not a checkpoint").unwrap();
    let output = wgrad(folder.path(), &["train", "digits", "--data", "bad.csv"]);
    assert_eq!(mistake(&output), "error: bad.csv: line 1 has 3 numbers, not 64 pixels and a label");
    let output = wgrad(folder.path(), &["predict", "digits", "--checkpoint", "bad.safetensors", "--index", "0"]);
    assert!(mistake(&output).starts_with("error: bad.safetensors: "), "{}", mistake(&output));
    let output = wgrad(folder.path(), &["predict", "digits", "--checkpoint", "none.safetensors", "--index", "0"]);
    assert!(mistake(&output).starts_with("error: none.safetensors: "), "{}", mistake(&output));
    let output = wgrad(folder.path(), &["inspect", "bad.safetensors"]);
    assert!(mistake(&output).starts_with("error: bad.safetensors: is no whole"), "{}", mistake(&output));
}
