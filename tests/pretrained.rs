//! Directories of published models: every form they come in, and what is said of wrong ones.

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;
use wgrad::{
    generate::Options,
    models::{BertConfig, Gpt2Config, MarianConfig, Translator, bert, gpt2, marian},
    nn::collapse,
    prelude::*,
    pretrained::{Directory, Pooling, Published, SentenceEncoder, TextModel, Tokenizer},
    testing::context,
};

/// A tensor of a file.
type Stored = (String, Vec<usize>, Vec<f32>);

fn write(file: &Path, tensors: &[Stored], dtype: Dtype) {
    let bytes = tensors.iter().map(|(_, _, numbers)| match dtype {
        Dtype::F64 => numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
        Dtype::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Dtype::BF16 => numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|&x| x.to_le_bytes()).collect(),
    });
    let bytes: Vec<Vec<u8>> = bytes.collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The parameters and state of a model, as numbers that every type of a file holds exactly.
fn tensors(build: impl FnOnce(&Graph) -> Tensor) -> Vec<Stored> {
    let graph = Graph::new(Mode::Infer);
    let plan = graph.plan(&[("y", &build(&graph))], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 3).unwrap();
    let variables = weights.variables();
    let stored = variables.iter().map(|variable| {
        let numbers = weights.read(&variable.name).unwrap().to_f32();
        let rounded = numbers.iter().map(|x| (x * 8.0 * 256.0).round() / 256.0).collect();
        (variable.name.to_string(), variable.desc.shape.to_vec(), rounded)
    });
    stored.collect()
}

fn small() -> Value {
    json!({
        "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
        "vocab_size": 12, "max_position_embeddings": 40,
    })
}

fn words() -> String {
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s", "sits", "here", "!", "caf"].join("\n") + "\n"
}

fn bert_tensors(pooler: bool) -> Vec<Stored> {
    let config = BertConfig::from_json(&small().to_string()).unwrap();
    tensors(|graph| {
        let ids = graph.input_of("ids", [1, 4], DType::U32);
        if pooler { bert(&config).pooled(&ids) } else { bert(&config).apply(&ids) }
    })
}

/// A directory with these files and a BERT's weights.
fn directory(files: &[(&str, String)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), small().to_string()).unwrap();
    fs::write(folder.path().join("vocab.txt"), words()).unwrap();
    write(&folder.path().join("model.safetensors"), &bert_tensors(true), Dtype::F32);
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

const TEXTS: [&str; 4] = ["A cat sits here!", "Cats", "", "cats cats cats cats cats cats cats, caf\u{e9} here!"];

fn embed(folder: &Path) -> Vec<Vec<f32>> {
    SentenceEncoder::open(context(), folder).unwrap().embed(&TEXTS).unwrap()
}

#[test]
fn a_bert_is_opened_in_every_form_it_is_published_in() {
    let expected = embed(directory(&[]).path());
    assert!(expected.iter().all(|vector| vector.len() == 8));
    let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>();
    assert!(expected.iter().all(|vector| (norm(vector) - 1.0).abs() < 1e-5), "{expected:?}");
    assert_ne!(expected[0], expected[1]);

    // Of every type; with a prefix, TensorFlow's names, a head and the numbers 0, 1, 2, …; without a pooler.
    for dtype in [Dtype::F64, Dtype::F16, Dtype::BF16] {
        let folder = directory(&[]);
        write(&folder.path().join("model.safetensors"), &bert_tensors(true), dtype);
        assert_eq!(embed(folder.path()), expected, "{dtype:?}");
    }
    let folder = directory(&[]);
    let mut older: Vec<Stored> = bert_tensors(true);
    for (name, ..) in &mut older {
        let own = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        *name = format!("bert.{own}");
    }
    older.push(("cls.predictions.bias".to_owned(), vec![12], vec![0.0; 12]));
    older.push(("bert.embeddings.position_ids".to_owned(), vec![1, 40], vec![0.0; 40]));
    write(&folder.path().join("model.safetensors"), &older, Dtype::F32);
    assert_eq!(embed(folder.path()), expected);
    write(&folder.path().join("model.safetensors"), &bert_tensors(false), Dtype::F32);
    assert_eq!(embed(folder.path()), expected);

    // In two files with an index.
    let (even, odd): (Vec<_>, Vec<_>) = bert_tensors(true).into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let mut map = serde_json::Map::new();
    for (name, part) in [("model-00001-of-00002.safetensors", even), ("model-00002-of-00002.safetensors", odd)] {
        let part: Vec<Stored> = part.into_iter().map(|(_, tensor)| tensor).collect();
        map.extend(part.iter().map(|(own, ..)| (own.clone(), name.into())));
        write(&folder.path().join(name), &part, Dtype::F32);
    }
    fs::write(folder.path().join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string()).unwrap();
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(embed(folder.path()), expected);
}

#[test]
fn a_vector_does_not_depend_on_the_others_of_its_run() {
    let encoder = SentenceEncoder::open(context(), directory(&[]).path()).unwrap();
    let texts: Vec<Vec<u32>> = (0..45_u32).map(|i| (0..=i * 17 % 40).map(|t| (i * 7 + t * t) % 12).collect()).collect();
    let together = encoder.embed_ids(&texts).unwrap();
    for (text, together) in texts.iter().zip(&together) {
        let alone = &encoder.embed_ids(std::slice::from_ref(text)).unwrap()[0];
        let far = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{far} for {} tokens", text.len());
    }
    let said = |texts: &[Vec<u32>]| encoder.embed_ids(texts).unwrap_err().to_string();
    assert_eq!(said(&[vec![1], vec![]]), "embed: text 1 has 0 tokens, not 1 to 40");
    assert_eq!(said(&[vec![1; 41]]), "embed: text 0 has 41 tokens, not 1 to 40");
    assert_eq!(said(&[vec![12]]), "embed: text 0 has token 12, the model knows 12");
    assert!(encoder.embed_ids(&[]).unwrap().is_empty());
}

#[test]
fn half_floats_give_nearly_the_same_vectors() {
    if !context().target().f16 {
        let error = SentenceEncoder::open_as(context(), directory(&[]).path(), DType::F16).unwrap_err();
        assert!(error.to_string().contains("f16"), "{error}");
        return;
    }
    let folder = directory(&[]);
    let encoder = SentenceEncoder::open_as(context(), folder.path(), DType::F16).unwrap();
    assert!(encoder.weights().variables().iter().all(|variable| variable.desc.dtype == DType::F16));
    for (a, b) in encoder.embed(&TEXTS).unwrap().iter().zip(embed(folder.path())) {
        let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 2e-2, "{far}");
    }
}

#[test]
fn what_sentence_transformers_files_say_is_done() {
    let modules = |names: &[&str]| {
        let list = names.iter().enumerate().map(|(i, name)| {
            let path = if i == 0 { String::new() } else { format!("{i}_{name}") };
            json!({ "idx": i, "name": i.to_string(), "path": path, "type": format!("sentence_transformers.models.{name}") })
        });
        Value::Array(list.collect()).to_string()
    };
    let pooling = |mode: &str| {
        json!({ "word_embedding_dimension": 8, "pooling_mode_mean_tokens": false, mode: true }).to_string()
    };
    let folder = directory(&[
        ("modules.json", modules(&["Transformer", "Pooling"])),
        ("1_Pooling/config.json", pooling("pooling_mode_cls_token")),
        ("sentence_bert_config.json", r#"{"max_seq_length": 5, "do_lower_case": true}"#.to_owned()),
    ]);
    let encoder = SentenceEncoder::open(context(), folder.path()).unwrap();
    let settings = encoder.settings();
    assert_eq!((settings.pooling, settings.normalize, settings.most), (Pooling::First, false, Some(5)));
    assert!(settings.lower_case);
    // [CLS] a cat sits [SEP]: the rest is cut off.
    assert_eq!(encoder.tokenizer().encode("A cat sits here!").unwrap(), [2, 5, 6, 8, 3]);
    let found = encoder.embed(&["A cat sits here!"]).unwrap().remove(0);
    let graph = Graph::new(Mode::Infer);
    let config = BertConfig::from_json(&small().to_string()).unwrap();
    let y = collapse::first().apply(&bert(&config).apply(&graph.input_of("ids", [1, 5], DType::U32)));
    let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
    let session = Session::new(context(), plan, encoder.weights()).unwrap();
    session.write("ids", &Array::from_u32([1, 5], &[2, 5, 6, 8, 3]).unwrap()).unwrap();
    session.run().unwrap();
    for (a, b) in found.iter().zip(session.read_blocking("y").unwrap().to_f32()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }

    let said = |files: &[(&str, String)]| {
        let folder = directory(files);
        let error = SentenceEncoder::open(context(), folder.path()).unwrap_err();
        assert!(error.is_checkpoint());
        error.to_string().replace(&folder.path().display().to_string(), "")
    };
    let whole = modules(&["Transformer", "Pooling", "Dense"]);
    assert_eq!(
        said(&[("modules.json", whole), ("1_Pooling/config.json", pooling("pooling_mode_cls_token"))]),
        "/modules.json: module 2 is \"sentence_transformers.models.Dense\" in \"2_Dense\"; a Transformer in \"\", \
         a Pooling and a Normalize are known"
    );
    assert_eq!(
        said(&[("modules.json", modules(&["Transformer", "Pooling"]))]),
        "/1_Pooling/config.json: is not there, though modules.json names it"
    );
    assert_eq!(
        said(&[
            ("modules.json", modules(&["Transformer", "Pooling"])),
            ("1_Pooling/config.json", pooling("pooling_mode_max_tokens")),
        ]),
        "/1_Pooling/config.json: pools by [\"max_tokens\"]; one of mean_tokens, cls_token and lasttoken is known"
    );
    assert_eq!(said(&[("modules.json", "[]".to_owned())]), "/modules.json: has no Transformer and Pooling");
}

#[test]
fn a_wrong_directory_says_what_is_wrong() {
    let folder = directory(&[]);
    let at = |name: &str| folder.path().join(name);
    let said = |path: &Path| {
        let error = SentenceEncoder::open(context(), path).unwrap_err();
        assert!(error.is_checkpoint());
        error.to_string().replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(said(&at("none")), "/none: there is no such directory");
    assert_eq!(said(&at("vocab.txt")), "/vocab.txt: is a file, not a directory of a model");

    let config = |value: Value| fs::write(at("config.json"), value.to_string()).unwrap();
    fs::remove_file(at("config.json")).unwrap();
    let hint = "\n  help: give a directory that save_pretrained wrote";
    assert_eq!(said(folder.path()), format!(": has no config.json{hint}"));
    fs::write(at("config.json"), "{").unwrap();
    assert!(said(folder.path()).starts_with("/config.json: is no JSON: EOF"));
    config(json!({ "hidden_size": 8 }));
    assert_eq!(said(folder.path()), "/config.json: has no model_type; bert, gpt2 and marian are known");
    config(json!({ "model_type": "roberta" }));
    assert_eq!(said(folder.path()), "/config.json: describes a roberta; bert, gpt2 and marian are known");
    config(json!({ "model_type": "bert", "position_embedding_type": "relative_key" }));
    assert_eq!(
        said(folder.path()),
        ": config.json: position_embedding_type is \"relative_key\"; only \"absolute\" is known"
    );
    config(json!({ "model_type": "gpt2" }));
    assert_eq!(
        said(folder.path()),
        ": holds a gpt2, not a bert\n  help: vectors of sentences are made by a BERT, such as all-MiniLM-L6-v2"
    );
    let mut other = small();
    other["vocab_size"] = 11.into();
    config(other);
    assert_eq!(said(folder.path()), ": the tokenizer has 12 tokens, the model 11: they do not belong together");

    // All that does not fit is one error.
    let mut other = small();
    (other["num_hidden_layers"], other["type_vocab_size"]) = (3.into(), 1.into());
    config(other);
    let mut tensors = bert_tensors(false);
    tensors.push(("adapter.weight".to_owned(), vec![1], vec![0.0]));
    write(&at("model.safetensors"), &tensors, Dtype::F32);
    let parts = [
        "attention.output.LayerNorm",
        "attention.output.dense",
        "attention.self.key",
        "attention.self.query",
        "attention.self.value",
        "intermediate.dense",
        "output.LayerNorm",
        "output.dense",
    ];
    let missing: Vec<String> =
        parts.iter().flat_map(|part| ["bias", "weight"].map(|end| format!("encoder.layer.2.{part}.{end}"))).collect();
    assert_eq!(
        said(folder.path()),
        format!(
            "/model.safetensors: does not fit the weights\n  missing: {}\n  unexpected: adapter.weight\n  \
             shape of embeddings.token_type_embeddings.weight: [2, 8] in the file, [1, 8] is wanted",
            missing.join(", ")
        )
    );

    config(small());
    fs::remove_file(at("model.safetensors")).unwrap();
    let none = ": has neither model.safetensors nor model.safetensors.index.json";
    assert_eq!(said(folder.path()), none);
    fs::write(at("pytorch_model.bin"), "").unwrap();
    assert_eq!(
        said(folder.path()),
        format!(
            "{none}\n  help: pytorch_model.bin is of another format: transformers' save_pretrained(…, \
             safe_serialization=True) converts it"
        )
    );
    fs::write(at("tokenizer.json"), "{}").unwrap();
    assert!(said(folder.path()).starts_with("/tokenizer.json: is no tokenizer that is known: "));
    fs::remove_file(at("tokenizer.json")).unwrap();
    fs::remove_file(at("vocab.txt")).unwrap();
    assert!(said(folder.path()).starts_with(": has neither tokenizer.json nor vocab.txt\n  help: "));
}

#[test]
fn a_number_too_large_for_half_floats_is_refused() {
    if !context().target().f16 {
        return;
    }
    let folder = directory(&[]);
    let mut tensors = bert_tensors(false);
    tensors.iter_mut().find(|(name, ..)| name.ends_with("word_embeddings.weight")).unwrap().2[5] = 7e4;
    let file = folder.path().join("model.safetensors");
    write(&file, &tensors, Dtype::F32);
    let error = SentenceEncoder::open_as(context(), folder.path(), DType::F16).unwrap_err();
    let name = "embeddings.word_embeddings.weight";
    assert_eq!(error.to_string(), format!("{}: {name} has 70000.0, which is no f16", file.display()));
}

/// A directory of another model, its weights under other names, and what they are loaded as.
fn loaded(
    config: &Value,
    tensors: &[Stored],
    build: impl FnOnce(&Graph, &Published) -> Tensor,
) -> Result<Weights, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    write(&folder.path().join("model.safetensors"), tensors, Dtype::F32);
    let directory = Directory::open(folder.path())?;
    let graph = Graph::new(Mode::Infer);
    let plan = graph.plan(&[("y", &build(&graph, directory.model()))], context().target())?;
    let weights = Weights::init(context(), &plan, 0)?;
    directory.load(&weights)?;
    Ok(weights)
}

fn holds(weights: &Weights, tensors: &[Stored]) {
    assert_eq!(weights.variables().len(), tensors.len());
    for (name, _, numbers) in tensors {
        assert_eq!(weights.read(name).unwrap().to_f32(), *numbers, "{name}");
    }
}

#[test]
fn a_gpt2_is_loaded_with_and_without_a_prefix_and_with_its_masks() {
    let config =
        json!({ "model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 9 });
    let sizes = Gpt2Config::from_json(&config.to_string()).unwrap();
    let all = tensors(|graph| gpt2(&sizes).apply(&graph.input_of("ids", [1, 4], DType::U32)));
    let build = |graph: &Graph, model: &Published| {
        let Published::Gpt2(config) = model else { panic!("{model:?}") };
        gpt2(config).apply(&graph.input_of("ids", [1, 4], DType::U32))
    };
    holds(&loaded(&config, &all, build).unwrap(), &all);

    let mut first = all.clone();
    for (name, ..) in &mut first {
        *name = name.trim_start_matches("transformer.").to_owned();
    }
    for layer in 0..2 {
        first.push((format!("h.{layer}.attn.bias"), vec![1, 1, 9, 9], vec![1.0; 81]));
        first.push((format!("h.{layer}.attn.masked_bias"), vec![], vec![-1e4]));
    }
    holds(&loaded(&config, &first, build).unwrap(), &all);
    let mut tied = all.clone();
    tied.iter_mut().find(|(name, ..)| name == "transformer.wte.weight").unwrap().0 = "lm_head.weight".to_owned();
    holds(&loaded(&config, &tied, build).unwrap(), &all);

    let mut untied = config.clone();
    untied["tie_word_embeddings"] = false.into();
    let error = loaded(&untied, &all, build).unwrap_err().to_string();
    assert!(error.ends_with(": config.json: tie_word_embeddings is false; only true is known"), "{error}");
    first.push(("h.2.attn.bias".to_owned(), vec![1], vec![1.0]));
    let error = loaded(&config, &first, build).unwrap_err().to_string();
    assert!(error.ends_with("does not fit the weights\n  unexpected: h.2.attn.bias"), "{error}");
}

#[test]
fn a_marian_is_loaded_under_whichever_name_its_shared_matrix_has() {
    let config = json!({
        "model_type": "marian", "vocab_size": 11, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "activation_function": "swish", "scale_embedding": true, "pad_token_id": 10,
    });
    let sizes = MarianConfig::from_json(&config.to_string()).unwrap();
    let logits = |graph: &Graph, config: &MarianConfig| {
        let [x, y] = ["x", "y"].map(|name| graph.input_of(name, [1, 4], DType::U32));
        marian(config).logits(&x, None, &y)
    };
    let build = |graph: &Graph, model: &Published| {
        let Published::Marian(config) = model else { panic!("{model:?}") };
        logits(graph, config)
    };
    let all = tensors(|graph| logits(graph, &sizes));
    let positions = ["encoder", "decoder"];
    let positions = positions.map(|part| (format!("model.{part}.embed_positions.weight"), vec![5, 8], vec![0.5; 40]));
    for name in ["model.shared.weight", "lm_head.weight", "model.decoder.embed_tokens.weight"] {
        let mut file = all.clone();
        file.iter_mut().find(|(name, ..)| name == "model.shared.weight").unwrap().0 = name.to_owned();
        file.extend(positions.clone());
        holds(&loaded(&config, &file, build).unwrap(), &all);
    }
    let mut file = all.clone();
    let shared = all.iter().find(|(name, ..)| name == "model.shared.weight").unwrap();
    file.push(("lm_head.weight".to_owned(), shared.1.clone(), shared.2.clone()));
    holds(&loaded(&config, &file, build).unwrap(), &all);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn marians_tokenizer_gives_the_ids_that_sentencepiece_gives() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Value> = serde_json::from_str(&fs::read_to_string(fixture("marian/expected.json")).unwrap()).unwrap();
    for name in ["source.spm", "target.spm", "vocab.json"] {
        fs::copy(fixture("marian").join(name), folder.path().join(name)).unwrap();
    }
    let words: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("vocab.json")).unwrap()).unwrap();
    let count = words.as_object().unwrap().len();
    let config = |count: usize| {
        let config = json!({ "model_type": "marian", "vocab_size": count, "pad_token_id": count - 1 });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    };
    config(count);
    let tokenizer = Directory::open(folder.path()).unwrap().tokenizer().unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.id("</s>")), (count, Some(0)));
    for row in &rows {
        let text = row["text"].as_str().unwrap();
        let ids: Vec<u32> = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), row["decoded"].as_str().unwrap(), "{text:?}");
    }
    assert_eq!(tokenizer.clone().truncated(3).unwrap().encode("A wide letter").unwrap().len(), 3);

    let said = || {
        let error = Directory::open(folder.path()).unwrap().tokenizer().unwrap_err();
        error.to_string().replace(&folder.path().display().to_string(), "")
    };
    config(count - 1);
    let reason = format!("/vocab.json: has {count} ids, the model {}: they do not belong together", count - 1);
    assert_eq!(said(), reason);
    config(count);
    fs::write(folder.path().join("source.spm"), "not a model").unwrap();
    assert!(said().starts_with("/source.spm: is no SentencePiece model: "), "{}", said());
    fs::write(folder.path().join("vocab.json"), r#"{"</s>": 0}"#).unwrap();
    assert_eq!(said(), "/vocab.json: has no <unk>");
    fs::remove_file(folder.path().join("source.spm")).unwrap();
    assert!(said().starts_with(": has neither source.spm, target.spm and vocab.json nor tokenizer.json\n  help: "));
}

/// A directory with a small GPT-2 of the words of "low lower".
pub fn small_gpt2() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config =
        json!({ "model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16 })
            .to_string();
    let words = json!({
        "l": 0, "o": 1, "w": 2, "\u{120}": 3, "lo": 4, "low": 5, "\u{120}low": 6, "e": 7, "r": 8, "er": 9, "<|endoftext|>": 10,
    });
    let merges = "#version: 0.2\nl o\nlo w\n\u{120} low\ne r\n";
    for (name, text) in [("config.json", &config[..]), ("vocab.json", &words.to_string()), ("merges.txt", merges)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let sizes = Gpt2Config::from_json(&config).unwrap();
    let all = tensors(|graph| gpt2(&sizes).apply(&graph.input_of("ids", [1, 4], DType::U32)));
    write(&folder.path().join("model.safetensors"), &all, Dtype::F32);
    folder
}

/// A directory with a small Marian and the tokenizer of the fixture.
pub fn small_marian() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["source.spm", "target.spm", "vocab.json"] {
        fs::copy(fixture("marian").join(name), folder.path().join(name)).unwrap();
    }
    let words: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("vocab.json")).unwrap()).unwrap();
    let count = words.as_object().unwrap().len();
    let config = json!({
        "model_type": "marian", "vocab_size": count, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
        "pad_token_id": count - 1, "eos_token_id": 0, "decoder_start_token_id": count - 1, "num_beams": 2,
        "max_length": 9, "bad_words_ids": [[count - 1]], "forced_eos_token_id": 0,
    })
    .to_string();
    let sizes = MarianConfig::from_json(&config).unwrap();
    let all = tensors(|graph| {
        let [x, y] = ["x", "y"].map(|name| graph.input_of(name, [1, 4], DType::U32));
        marian(&sizes).logits(&x, None, &y)
    });
    write(&folder.path().join("model.safetensors"), &all, Dtype::F32);
    fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

#[test]
fn a_gpt2_goes_on_with_texts() {
    let folder = small_gpt2();
    fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id": 10, "max_new_tokens": 6}"#).unwrap();
    let model = TextModel::open(context(), folder.path()).unwrap();
    assert!(!model.translates());
    assert_eq!(model.options(), Options::greedy().eos(10).max_new_tokens(6));
    let texts = ["low", "lower low"];
    let found = model.run(&texts, model.options()).unwrap();
    let ids = texts.map(|text| model.tokenizer().encode(text).unwrap());
    let expected = model.generator(model.options()).unwrap().run(&ids).unwrap();
    assert!(expected.iter().all(|ids| !ids.is_empty() && ids.len() <= 6));
    for ((text, found), ids) in texts.iter().zip(&found).zip(&expected) {
        assert_eq!(found, &model.tokenizer().decode(ids).unwrap());
        // As it grows it always goes on from what was said before.
        let mut said = vec![String::new()];
        let whole = model
            .run_with(text, model.options().tokens_per_submit(1), |text| {
                said.push(text.to_owned());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(&whole, found);
        assert!(said.windows(2).all(|pair| pair[1].starts_with(&pair[0])), "{said:?}");
        assert_eq!(said.last(), Some(&whole));
    }
    let drawn = |seed| model.run(&texts, Options::sample(seed).temperature(2.0).max_new_tokens(8)).unwrap();
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let error = model.run(&["low", ""], model.options()).unwrap_err();
    assert_eq!(error.to_string(), "generate: text 1 has no tokens\n  help: give a word to go on from");
    let error = TextModel::open(context(), directory(&[]).path()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("holds a bert, not a gpt2 or marian\n  help: a BERT makes no texts: try wgrad embed")
    );
}

#[test]
fn a_marian_translates_as_its_files_say() {
    let folder = small_marian();
    let model = TextModel::open(context(), folder.path()).unwrap();
    let last = model.tokenizer().vocabulary() as u32 - 1;
    assert!(model.translates());
    let wanted = Options::beam(2).eos(0).start(last).pad(last).forced_eos(0).max_new_tokens(8).suppress(&[last]);
    assert_eq!(model.options(), wanted);
    let found = model.run(&["This is a test.", "WORK"], model.options()).unwrap();
    let ids = ["This is a test.", "WORK"].map(|text| model.tokenizer().encode(text).unwrap());
    let expected = model.generator(wanted).unwrap().run(&ids).unwrap();
    for (found, ids) in found.iter().zip(&expected) {
        assert_eq!(found, &model.tokenizer().decode(ids).unwrap());
        assert!(ids.len() <= 8 && ids.last() == Some(&0) && !ids.contains(&last), "{ids:?}");
    }
}

#[test]
fn a_gpt2s_tokenizer_is_read_from_its_older_files() {
    let folder = small_gpt2();
    let tokenizer = Directory::open(folder.path()).unwrap().tokenizer().unwrap();
    let ids = tokenizer.encode("low lower<|endoftext|>").unwrap();
    assert_eq!(ids, [5, 6, 9, 10]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "low lower");
    let error = Tokenizer::file(folder.path().join("tokenizer.json")).unwrap_err();
    assert!(error.to_string().ends_with("tokenizer.json: there is no such file"));
}

#[test]
fn settings_of_generation_are_read_from_both_files() {
    let folder = directory(&[(
        "generation_config.json",
        r#"{"eos_token_id": [0, 5], "bad_words_ids": [[10], [11]], "num_beams": 6, "max_length": 512, "do_sample": false,
            "temperature": 0.7, "decoder_start_token_id": null}"#
            .to_owned(),
    )]);
    let mut config = small();
    (config["bos_token_id"], config["num_beams"], config["decoder_start_token_id"]) = (3.into(), 4.into(), 10.into());
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let settings = Directory::open(folder.path()).unwrap().generation().unwrap();
    assert_eq!((settings.bos_token_id, settings.num_beams, settings.max_length), (Some(3), Some(6), Some(512)));
    assert_eq!((&settings.eos_token_id[..], &settings.bad_tokens[..]), (&[0, 5][..], &[10, 11][..]));
    assert_eq!((settings.do_sample, settings.temperature, settings.top_k), (Some(false), Some(0.7), None));
    assert_eq!(settings.decoder_start_token_id, Some(10));

    for (text, reason) in [
        (r#"{"top_k": "many"}"#, "top_k is \"many\", not a whole number"),
        (r#"{"eos_token_id": [0, -1]}"#, "eos_token_id is [0,-1], not a whole number or a list of them"),
        (r#"{"bad_words_ids": [[1, 2]]}"#, "bad_words_ids is [[1,2]], not a list of lists of one token"),
        (r#"{"top_p": []}"#, "top_p is [], not a number"),
        (r#"{"do_sample": 1}"#, "do_sample is 1, not true or false"),
    ] {
        fs::write(folder.path().join("generation_config.json"), text).unwrap();
        let error = Directory::open(folder.path()).unwrap().generation().unwrap_err().to_string();
        assert!(error.ends_with(&format!("generation_config.json: {reason}")), "{error}");
    }
}
