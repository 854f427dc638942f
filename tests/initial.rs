//! Names, shapes and initial values of the parameters of layers and published models against PyTorch, torchvision and
//! transformers: `fixtures/initial.json`, made by `fixtures/initial.py`.

use serde_json::Value;
use std::{collections::BTreeMap, path::Path};
use wgrad::{
    graph::{Role, Variable},
    models::{BertConfig, Gpt2Config, MarianConfig, Translator, alexnet, bert, gpt2, marian, seq2seq},
    nn::*,
    ops::Attention,
    prelude::*,
};

/// Builds what the fixture calls `name`.
fn build(graph: &Graph, name: &str) {
    let x = |shape: &[usize]| graph.input("x", shape);
    let ids = || graph.input_of("ids", [1, 4], DType::U32);
    let heads = || multi_head_attention(64, 4);
    match name {
        "linear" => linear(40).apply(&x(&[1, 300])),
        "conv1d" => conv1d(96, 5).groups(4).apply(&x(&[1, 64, 20])),
        "conv2d" => conv(48, [3, 5]).apply(&x(&[1, 32, 9, 9])),
        "conv3d" => conv3d(24, 3).apply(&x(&[1, 8, 5, 5, 5])),
        "conv_transpose2d" => conv_transpose2d(32, 3).groups(2).apply(&x(&[1, 48, 5, 5])),
        "embedding" => embed(200, 64).padding_idx(7).apply(&ids()),
        "layer_norm" => layer_norm().apply(&x(&[2, 64])),
        "rms_norm" => rms_norm().apply(&x(&[2, 64])),
        "batch_norm" => batch_norm().apply(&x(&[2, 64, 3, 3])),
        "group_norm" => group_norm(4).apply(&x(&[2, 64, 3])),
        "rnn" => simple_rnn(64).layers(2).apply(&x(&[1, 3, 48])),
        "lstm" => lstm(64).layers(2).bidirectional().apply(&x(&[1, 3, 48])),
        "lstm_projected" => lstm(64).layers(2).bidirectional().projection(24).apply(&x(&[1, 3, 48])),
        "gru" => gru(64).bias(false).bidirectional().apply(&x(&[1, 3, 48])),
        "multi_head_attention" => heads().apply(&x(&[1, 3, 64])),
        "multi_head_attention_widths" => {
            let (key, value) = (graph.input("key", [1, 3, 48]), graph.input("value", [1, 3, 80]));
            heads().attend(&x(&[1, 3, 64]), &key, &value, Attention::default())
        }
        "encoder_layer" => encoder_layer(4, 256).apply(&x(&[1, 3, 64])),
        "decoder_layer" => decoder_layer(4, 256, &graph.input("memory", [1, 3, 64])).apply(&x(&[1, 3, 64])),
        "decoder_layer_without_bias" => {
            decoder_layer(4, 256, &graph.input("memory", [1, 3, 64])).bias(false).apply(&x(&[1, 3, 64]))
        }
        "transformer" => seq2seq([10, 10], 512).logits(&ids(), None, &ids()),
        "alexnet" => alexnet(1000).apply(&x(&[1, 3, 224, 224])),
        "bert" => bert(&BertConfig::default()).pooled(&ids()),
        "bert_masked_lm" => bert(&BertConfig::default()).masked_lm(&ids()),
        "bert_classify" => bert(&BertConfig::default()).classify(&ids(), 5),
        "gpt2" => gpt2(&Gpt2Config::default()).apply(&ids()),
        "marian" => {
            let config = MarianConfig {
                d_model: 512,
                encoder_layers: 6,
                decoder_layers: 6,
                encoder_attention_heads: 8,
                decoder_attention_heads: 8,
                encoder_ffn_dim: 2048,
                decoder_ffn_dim: 2048,
                activation_function: silu(),
                scale_embedding: true,
                ..MarianConfig::default()
            };
            marian(&config).logits(&ids(), None, &ids())
        }
        name => panic!("the fixture has {name}, which is not built here"),
    };
}

/// Whether numbers drawn from `init` would look like those of the row; the bounds are five standard errors.
fn fits(init: Init, row: &Value, count: f64) -> bool {
    let [low, high, mean, std] = ["low", "high", "mean", "std"].map(|key| row[key].as_f64().unwrap());
    let normal = |center: f64, deviation: f64| {
        (mean - center).abs() <= 5.0 * deviation / count.sqrt()
            && (std / deviation - 1.0).abs() <= 5.0 / (2.0 * count).sqrt()
    };
    let zero_row = row["zero_row"].as_u64();
    match init {
        Init::Constant(value) => low == f64::from(value) && high == low && zero_row.is_none(),
        Init::Uniform { bound } => {
            let (bound, reach) = (f64::from(bound), high.max(-low));
            let fills = reach <= bound * (1.0 + 1e-6) && reach >= bound * (1.0 - 15.0 / count);
            fills && (std * 3_f64.sqrt() / bound - 1.0).abs() <= 5.0 / count.sqrt() && zero_row.is_none()
        }
        Init::Normal { mean, std } => normal(f64::from(mean), f64::from(std)) && zero_row.is_none(),
        Init::NormalBut { std, row } => normal(0.0, f64::from(std)) && zero_row == Some(row.into()),
        Init::Seed { .. } => false,
    }
}

/// What this crate has around `torch.nn.Transformer`, and what transformers keeps as a parameter but does not train.
fn left_out(model: &str, name: &str) -> bool {
    match model {
        "transformer" => ["source_embed.", "target_embed.", "generator."].iter().any(|part| name.starts_with(part)),
        "marian" => name.ends_with("embed_positions.weight"),
        _ => false,
    }
}

#[test]
fn names_shapes_and_initial_values_are_those_of_the_libraries() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/initial.json");
    let models: BTreeMap<String, Vec<Value>> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(models.len(), 26);
    for (model, rows) in &models {
        let graph = Graph::new(Mode::Train);
        build(&graph, model);
        graph.check().unwrap_or_else(|error| panic!("{model}: {error}"));
        let variables = graph.variables();
        let mut found: BTreeMap<&str, &Variable> =
            variables.iter().filter(|v| v.role == Role::Parameter).map(|v| (&*v.name, v)).collect();
        found.retain(|name, _| !left_out(model, name));
        for row in rows {
            let name = row["name"].as_str().unwrap();
            if left_out(model, name) {
                continue;
            }
            let variable = found.remove(name).unwrap_or_else(|| panic!("{model} has no {name}"));
            let shape: Vec<usize> =
                row["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect();
            assert_eq!(variable.desc.shape[..], shape, "{model}: {name}");
            let init = variable.init.unwrap();
            assert!(fits(init, row, variable.desc.shape.numel() as f64), "{model}: {name} is {init:?}, not {row}");
        }
        assert!(found.is_empty(), "{model} has more: {:?}", found.keys());
    }
}
