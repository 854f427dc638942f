//! Training, interrupting, resuming and using, as a user does it.

use crate::cli::{lines, mistake, text, wgrad};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

const SMALL: [&str; 8] = ["--width", "8", "--batch", "4", "--measure-every", "3", "--steps", "9"];

/// Trains a small network of a kind in a folder.
fn train(folder: &Path, kind: &[&str], more: &[&str]) -> Vec<serde_json::Value> {
    let arguments = [&["train"], kind, &SMALL, &["--json"], more].concat();
    lines(&wgrad(folder, &arguments))
}

/// The last checkpoint of a training.
fn checkpoint(folder: &Path, name: &str) -> Vec<u8> {
    let files = fs::read_dir(folder.join(name)).unwrap().map(|file| file.unwrap().path());
    let last = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-")).max().unwrap();
    fs::read(last).unwrap()
}

fn story_file(folder: &Path) {
    fs::write(folder.join("story.txt"), wgrad::tasks::stories(3000, 5)).unwrap();
}

#[test]
fn a_language_model_is_trained_resumed_and_goes_on_with_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    story_file(folder);
    let kind = ["text", "--file", "story.txt", "--length", "16"];
    let whole = train(folder, &kind, &["--checkpoint", "a", "--log", "a/log.csv", "--plot", "a.png"]);
    assert_eq!(whole.len(), 4, "three measurements and the result");
    assert_eq!((whole[0]["step"].as_u64(), whole[3]["ended"].as_str()), (Some(3), Some("done")));
    for figure in ["loss", "accuracy", "valid_loss", "valid_perplexity", "valid_accuracy"] {
        assert!(whole[2][figure].is_f64(), "{figure} is missing in {}", whole[2]);
    }
    assert!(fs::read(folder.join("a.png")).unwrap().starts_with(b"\x89PNG"));
    let log = fs::read_to_string(folder.join("a/log.csv")).unwrap();
    assert_eq!((log.lines().count(), log == fs::read_to_string(folder.join("a/history.csv")).unwrap()), (4, true));

    // The settings of the first half are those of the second, said or not.
    let half = train(folder, &kind, &["--checkpoint", "b", "--stop-after", "4", "--log", "events"]);
    assert_eq!(half.last().unwrap()["ended"], "stopped");
    let events: Vec<_> = fs::read_dir(folder.join("events")).unwrap().collect();
    assert_eq!(events.len(), 1);
    let rest = lines(&wgrad(folder, &["train", "text", "--checkpoint", "b", "--resume", "--json"]));
    assert_eq!(rest[0]["step"], 6);
    assert!(checkpoint(folder, "a") == checkpoint(folder, "b"), "stopping and resuming gives other bits");
    assert_eq!(whole[2]["valid_loss"], rest[1]["valid_loss"]);

    let other = wgrad(folder, &["train", "text", "--checkpoint", "b", "--resume", "--batch", "5"]);
    assert!(mistake(&other).starts_with("error: b: was begun with --batch 4\n"), "{}", mistake(&other));
    let again = wgrad(folder, &["train", "text", "--file", "story.txt", "--checkpoint", "b"]);
    assert!(mistake(&again).starts_with("error: b: holds a training already\n"), "{}", mistake(&again));
    fs::write(folder.join("story.txt"), wgrad::tasks::stories(4000, 5)).unwrap();
    let changed = wgrad(folder, &["train", "text", "--checkpoint", "b", "--resume"]);
    assert!(mistake(&changed).contains("the data has changed since the training began"), "{}", mistake(&changed));

    let generate = |more: &[&str]| {
        let arguments =
            [&["generate", "--checkpoint", "a", "--prompt", "One day ", "--max-new-tokens", "20"], more].concat();
        text(&wgrad(folder, &arguments))
    };
    let said = generate(&[]);
    assert!(said.starts_with("One day ") && said.trim_end_matches('\n').chars().count() >= 20, "{said:?}");
    assert_eq!(said, generate(&[]));
    assert_ne!(said, generate(&["--seed", "1"]));
    let object: serde_json::Value = serde_json::from_str(&generate(&["--json", "--temperature", "0"])).unwrap();
    assert_eq!(object["texts"][0].as_str().unwrap().chars().count(), 20);
    let two =
        text(&wgrad(folder, &["generate", "--checkpoint", "a", "The ", "One ", "--max-new-tokens", "5", "--json"]));
    let two: serde_json::Value = serde_json::from_str(&two).unwrap();
    assert_eq!((&two["prompts"], two["texts"].as_array().unwrap().len()), (&serde_json::json!(["The ", "One "]), 2));
    let strange = wgrad(folder, &["generate", "--checkpoint", "a", "--prompt", "ß"]);
    assert_eq!(mistake(&strange), "error: the prompt has a \"ß\", which the training has not seen");
}

#[test]
fn an_interrupt_leaves_a_checkpoint_that_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    story_file(folder);
    let arguments = ["train", "text", "--file", "story.txt", "--length", "16", "--checkpoint", "c", "--json"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgrad"))
        .current_dir(folder)
        .args(arguments)
        .args(["--width", "8", "--batch", "4", "--measure-every", "2", "--steps", "100000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["step"], 2);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let last: serde_json::Value = serde_json::from_str(&out.map(|line| line.unwrap()).last().unwrap()).unwrap();
    assert_eq!((last["ended"].as_str(), child.wait().unwrap().code()), (Some("stopped"), Some(130)));
    let done = last["steps"].as_u64().unwrap();
    let stop = (done + 2).to_string();
    let arguments = ["train", "text", "--checkpoint", "c", "--resume", "--stop-after", &stop, "--json"];
    let resumed = lines(&wgrad(folder, &arguments));
    assert_eq!(resumed.last().unwrap()["steps"], 2, "it goes on behind step {done}");
}

#[test]
fn a_translator_is_trained_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let pairs: Vec<String> = (0..40).map(|i| format!("take {i} of it\tnimm {i} davon")).collect();
    fs::write(folder.join("pairs.tsv"), pairs.join("\n")).unwrap();
    let found = train(folder, &["translate", "--pairs", "pairs.tsv", "--unit", "word"], &["--checkpoint", "t"]);
    assert!(found[0]["valid_bleu"].is_f64() && found[0]["valid_exact"].is_f64(), "{}", found[0]);
    let said = lines(&wgrad(folder, &["translate", "--checkpoint", "t", "take 3 of it", "take it", "--json"]));
    assert_eq!((said.len(), said[0]["texts"][1].as_str()), (1, Some("take it")));
    assert!(said[0]["translations"][1].is_string());
    let long = wgrad(folder, &["translate", "--checkpoint", "t", "take take take take take"]);
    assert!(mistake(&long).ends_with("has 5 tokens, the longest of the training 4"), "{}", mistake(&long));

    fs::write(folder.join("bad.tsv"), "a\tb\nno tab here\n").unwrap();
    let bad = wgrad(folder, &["train", "translate", "--pairs", "bad.tsv", "--checkpoint", "u"]);
    assert_eq!(mistake(&bad), "error: bad.tsv: line 2 is not a source, a tab and its translation");
    let none = wgrad(folder, &["translate", "--checkpoint", "nowhere", "a"]);
    assert!(mistake(&none).contains("make a training with `wgrad train translate"), "{}", mistake(&none));
    let wrong = wgrad(folder, &["generate", "--checkpoint", "t"]);
    assert!(mistake(&wrong).contains("is of a training of \"translate\", not of \"text\""), "{}", mistake(&wrong));
}

#[test]
fn a_classifier_is_trained_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |i: usize| format!("{},\"it is {}, no. {i}\"", i % 2, ["bad", "good"][i % 2]);
    let rows: Vec<String> = (0..60).map(row).collect();
    fs::write(folder.join("rows.csv"), format!("stars,comment\n{}\n", rows.join("\n"))).unwrap();
    let kind = ["classify", "--csv", "rows.csv", "--text", "comment", "--label", "stars"];
    for model in ["lstm", "conv", "bag"] {
        let found = train(folder, &kind, &["--model", model, "--checkpoint", model, "--mixed"]);
        assert!(found[0]["valid_accuracy"].is_f64(), "{model}: {}", found[0]);
        let said = lines(&wgrad(folder, &["predict", "text", "it is good", "", "--checkpoint", model, "--json"]));
        let shares = said[0]["probabilities"].as_object().unwrap();
        let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
        assert!(shares.len() == 2 && (sum - 1.0).abs() < 1e-5 && said.len() == 2, "{model}: {}", said[0]);
    }
    let wrong = wgrad(folder, &["train", "classify", "--csv", "rows.csv", "--checkpoint", "x"]);
    let expected = "error: rows.csv: has no column \"text\", but stars, comment\n";
    assert!(mistake(&wrong).starts_with(expected), "{}", mistake(&wrong));
    fs::write(folder.join("bytes.csv"), b"text,label\na\xFF,b\n").unwrap();
    let wrong = wgrad(folder, &["train", "classify", "--csv", "bytes.csv", "--checkpoint", "x"]);
    assert_eq!(mistake(&wrong), "error: bytes.csv: is no text in UTF-8: byte 12 is none of it");
    assert!(!folder.join("x").exists(), "a mistake leaves no folder behind");
}

#[test]
fn every_training_has_an_example_in_its_help() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["digits", "text", "translate", "classify", "video"] {
        let help = text(&wgrad(folder.path(), &["train", kind, "--help"]));
        assert!(help.contains("Example:\n  wgrad train ") && help.contains("--resume"), "{help}");
    }
    for command in [&["generate"][..], &["translate"], &["predict", "text"]] {
        let help = text(&wgrad(folder.path(), &[command, &["--help"]].concat()));
        assert!(help.contains("Example:\n  wgrad ") && help.contains("--json"), "{help}");
    }
}
