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
fn what_is_tuned_is_kept_for_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let wgrad = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgrad"));
        text(&command.env("WGRAD_CACHE", folder.path()).args(arguments).output().unwrap())
    };
    let said = wgrad(&["tune", "--largest", "64"]);
    assert!(said.contains("matmul."), "{said}");
    let file = || {
        let mut files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.to_string_lossy().ends_with(".tuning.json")).unwrap()
    };
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    let entries = json["choices"].as_array().unwrap().len();
    assert!(said.contains(&format!("{entries} size")), "{said}");
    assert!(wgrad(&["tune", "--reset"]).contains("empty"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    assert_eq!(json["choices"], serde_json::json!([]));
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

#[test]
fn a_summary_is_made_of_every_model_and_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| {
        let mut all = vec!["summary", "--json"];
        all.extend_from_slice(arguments);
        lines(&wgrad(folder.path(), &all)).remove(0)
    };
    // What transformers and torchvision count: of BERT a head of two classes, of Marian its bias beside the parameters.
    for (model, parameters) in [
        ("bert-base", 109_483_778),
        ("minilm", 22_565_376),
        ("gpt2", 124_439_808),
        ("marian", 58101 * 512 + 6 * 3_152_384 + 6 * 4_204_032),
    ] {
        let found = of(&[model, "--length", "16"]);
        assert_eq!(found["parameters"], parameters, "{model}");
        let of = |what: &str, part: &str| found[what]["memory"][part].as_u64().unwrap();
        // A buffer's bytes are a multiple of 16: the head's two biases have more than their own.
        let bytes = of("inference", "parameters");
        assert!((4 * parameters..4 * parameters + 16).contains(&bytes), "{model}: {bytes}");
        assert!(of("training", "total") > of("inference", "total"));
    }
    for model in ["alexnet", "digits", "bert-mini", "lstm", "text-classifier", "video-classifier"] {
        let found = of(&[model, "--batch", "2", "--length", "12"]);
        assert!(found["layers"].as_array().unwrap().len() > 2 && found["training"]["flops"].as_u64().unwrap() > 0);
    }
    let half = of(&["minilm", "--length", "16", "--dtype", "f16"]);
    assert_eq!(half["inference"]["memory"]["parameters"], 2 * 22_565_376);

    std::fs::create_dir(folder.path().join("model")).unwrap();
    let config =
        r#"{"model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 9}"#;
    std::fs::write(folder.path().join("model/config.json"), config).unwrap();
    let found = of(&["model", "--length", "9"]);
    assert_eq!(found["parameters"], 11 * 8 + 9 * 8 + 16 + 2 * (12 * 64 + 13 * 8));
    let output = wgrad(folder.path(), &["summary", "model", "--length", "10"]);
    assert!(mistake(&output).contains("10"), "{}", mistake(&output));
    let output = wgrad(folder.path(), &["summary", "none"]);
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(
        !output.status.success() && said.contains("there is no such directory, and the names are alexnet"),
        "{said}"
    );
}

#[test]
fn a_text_model_is_profiled_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["profile", "text-classifier", "--train", "--batch", "2", "--length", "6", "--runs", "1", "--json"];
    let layers = lines(&wgrad(folder.path(), &arguments));
    assert!(layers.iter().any(|layer| layer["layer"] == "sequence"), "{layers:?}");
}

#[test]
fn embed_names_what_is_wrong_with_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let said = |model: &str| mistake(&wgrad(folder.path(), &["embed", "--model", model, "A sentence."]));
    assert_eq!(said("none"), "error: none: there is no such directory");
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(said("file"), "error: file: is a file, not a directory of a model");
    std::fs::create_dir(folder.path().join("model")).unwrap();
    let hint = "\n  help: give a directory that save_pretrained wrote";
    assert_eq!(said("model"), format!("error: model: has no config.json{hint}"));
    let config = |text: &str| std::fs::write(folder.path().join("model/config.json"), text).unwrap();
    config("{]");
    assert!(said("model").starts_with("error: model/config.json: is no JSON: "), "{}", said("model"));
    config(r#"{"model_type": "t5"}"#);
    assert_eq!(said("model"), "error: model/config.json: describes a t5; bert, gpt2 and marian are known");
    let wrong = "error: model: config.json: hidden_size is \"wide\", not a whole number";
    config(r#"{"model_type": "bert", "hidden_size": "wide"}"#);
    assert_eq!(said("model"), wrong);
    config(
        r#"{"model_type": "bert", "vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}"#,
    );
    assert!(said("model").starts_with("error: model: has neither tokenizer.json nor vocab.txt"), "{}", said("model"));
    std::fs::write(folder.path().join("model/vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n").unwrap();
    assert_eq!(said("model"), "error: model: has neither model.safetensors nor model.safetensors.index.json");
    std::fs::write(folder.path().join("model/model.safetensors"), "not a checkpoint").unwrap();
    assert!(said("model").starts_with("error: model/model.safetensors: is no whole safetensors file"));
    let help = text(&wgrad(folder.path(), &["embed", "--help"]));
    assert!(help.contains("Example:\n  wgrad embed --model"), "{help}");
}

#[test]
fn texts_are_generated_and_translated() {
    let folder = crate::pretrained::small_gpt2();
    let run = |arguments: &[&str]| {
        let mut all = vec!["generate", "--model", ".", "low lower", "--max-new-tokens", "5"];
        all.extend_from_slice(arguments);
        wgrad(folder.path(), &all)
    };
    let shown = lines(&run(&["--json"])).remove(0);
    let found = shown["texts"][0].as_str().unwrap().to_owned();
    assert!(shown["prompts"] == serde_json::json!(["low lower"]) && !found.is_empty(), "{shown}");
    assert_eq!(text(&run(&[])), format!("low lower{found}\n"));
    let drawn = |seed: &str| text(&run(&["--temperature", "2", "--top-k", "9", "--top-p", "0.99", "--seed", seed]));
    assert_eq!(drawn("3"), drawn("3"));
    assert!(text(&run(&["--beams", "3"])).starts_with("low lower"));
    let said = mistake(&wgrad(folder.path(), &["translate", "--model", ".", "low"]));
    let hint = "\n  help: wgrad generate is for a gpt2, wgrad embed for a bert";
    assert_eq!(said, format!("error: .: holds a gpt2, not a marian{hint}"));
    let said = mistake(&run(&["--beams", "99"]));
    assert!(said.starts_with("error: "), "{said}");

    let folder = crate::pretrained::small_marian();
    let run = |more: &[&str]| {
        let mut all = vec!["translate", "--model", ".", "This is a test.", "WORK"];
        all.extend_from_slice(more);
        wgrad(folder.path(), &all)
    };
    let shown = lines(&run(&["--json"])).remove(0);
    let found: Vec<&str> =
        shown["translations"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!((found.len(), &shown["texts"][1]), (2, &serde_json::json!("WORK")));
    assert_eq!(text(&run(&[])), format!("{}\n{}\n", found[0], found[1]));
    assert_eq!(text(&run(&["--beams", "1", "--max-new-tokens", "4"])).lines().count(), 2);
    let said = mistake(&wgrad(folder.path(), &["generate", "--model", ".", "low"]));
    let hint = "\n  help: wgrad translate is for a marian, wgrad embed for a bert";
    assert_eq!(said, format!("error: .: holds a marian, not a gpt2{hint}"));
    for command in ["generate", "translate"] {
        let help = text(&wgrad(folder.path(), &[command, "--help"]));
        let shown = |options: &str| help.contains(&format!("\n  wgrad {command} {options}"));
        assert!(help.contains("Example:") && shown("--checkpoint") && shown("--model"), "{help}");
        let said = mistake(&wgrad(folder.path(), &[command, "--model", "none", "low"]));
        assert_eq!(said, "error: none: there is no such directory");
    }
}
