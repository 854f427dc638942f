//! The lecture's models against PyTorch and transformers: output, loss, every gradient, and 20 steps of training, as
//! `fixtures/models.py` made them.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    autodiff::gradients,
    chain,
    checkpoint::{self, Load},
    graph::Role,
    models::{
        BertConfig, Gpt2Config, MarianConfig, Translator, bert, conv_text_classifier, gpt2, lstm_lm, lstm_seq2seq,
        marian, seq2seq, text_classifier, video_classifier,
    },
    nn::*,
    optim::AdamW,
    prelude::*,
    testing::context,
};

const VOCABULARY: usize = 17;
const WIDTH: usize = 8;

/// One model of the fixture, in a graph of its own.
struct Case<'a> {
    fixture: &'a Fixture,
    name: &'a str,
    config: String,
    graph: Graph,
}

impl Case<'_> {
    fn find(&self, key: &str) -> Option<&Array> {
        self.fixture.find(&format!("{}.{key}", self.name))
    }

    fn get(&self, key: &str) -> &Array {
        self.find(key).unwrap_or_else(|| panic!("{} has no {key}", self.name))
    }

    fn input(&self, key: &str) -> Tensor {
        let array = self.get(&format!("input.{key}"));
        self.graph.input_of(key, array.shape(), array.desc().dtype)
    }

    /// Logits, and their loss against `target`.
    fn scored(&self, logits: Tensor) -> (Tensor, Tensor) {
        let classes = logits.size(-1);
        let target = self.input("target");
        let loss = logits.reshape([logits.shape().numel() / classes, classes]).cross_entropy(&target.flatten(0, -1));
        (logits, loss)
    }

    /// A result, and the sum of it times `w`.
    fn weighed(&self, y: Tensor) -> (Tensor, Tensor) {
        let loss = (&y * self.input("w")).sum_all();
        (y, loss)
    }

    fn translated(&self, model: impl Translator) -> (Tensor, Tensor) {
        self.scored(model.logits(&self.input("source"), Some(&self.input("lengths")), &self.input("ids")))
    }

    fn classified(&self, sequence: impl Layer + 'static, collapse: impl Layer + 'static) -> (Tensor, Tensor) {
        let net = text_classifier(VOCABULARY, WIDTH, 3, sequence, collapse);
        self.scored(net.apply(&self.input("ids")))
    }

    /// The model's output and loss.
    fn build(&self) -> (Tensor, Tensor) {
        let bert = || bert(&BertConfig::from_json(&self.config).unwrap()).lengths(&self.input("lengths"));
        let seq2seq = || seq2seq([VOCABULARY; 2], WIDTH).heads(2).layers(1).hidden(14).dropout(0.0);
        match self.name {
            "encoder_layer" => {
                let block = encoder_layer(2, 14).activation(gelu()).norm_first(true).mask(&self.input("mask"));
                self.weighed(block.dropout(0.0, 0.0, 0.0).apply(&self.input("x")))
            }
            "decoder_layer" => {
                let block = decoder_layer(2, 14, &self.input("memory")).activation(gelu()).norm_first(true);
                let block = block.mask(&self.input("mask")).memory_mask(&self.input("memory_mask"));
                self.weighed(block.dropout(0.0, 0.0, 0.0).apply(&self.input("x")))
            }
            "bert" => {
                let (bert, ids) = (bert().token_types(&self.input("types")), self.input("ids"));
                let (y, pooled) = (bert.apply(&ids), bert.pooled(&ids));
                let loss = (y * self.input("w")).sum_all() + pooled.square().sum_all();
                (pooled, loss)
            }
            "bert_masked_lm" => self.scored(bert().masked_lm(&self.input("ids"))),
            "bert_classify" => self.scored(bert().classify(&self.input("ids"), 3)),
            "gpt2" => self.scored(gpt2(&Gpt2Config::from_json(&self.config).unwrap()).apply(&self.input("ids"))),
            "lstm_lm" => self.scored(lstm_lm(VOCABULARY, WIDTH, 2).apply(&self.input("ids"))),
            "marian" => self.translated(marian(&MarianConfig::from_json(&self.config).unwrap())),
            "seq2seq" => self.translated(seq2seq()),
            "seq2seq_norm_first" => self.translated(seq2seq().norm_first()),
            "lstm_seq2seq" => self.translated(lstm_seq2seq([VOCABULARY; 2], WIDTH, 2)),
            "text_rnn_average" => {
                self.classified(simple_rnn(WIDTH), collapse::average().lengths(&self.input("lengths")))
            }
            "text_lstm_last" => self.classified(lstm(WIDTH), collapse::last().lengths(&self.input("lengths"))),
            "text_gru_attention" => self.classified(gru(WIDTH), collapse::attention().lengths(&self.input("lengths"))),
            "text_transformer_first" => {
                let lengths = self.input("lengths");
                let block = encoder_layer(2, 14).activation(gelu()).lengths(&lengths).dropout(0.0, 0.0, 0.0);
                let sequence = chain![sinusoidal_positions(), stack("layers", 1, block).named("")];
                self.classified(sequence, collapse::first())
            }
            "conv_text" => self.scored(conv_text_classifier(VOCABULARY, WIDTH, 4, 3).apply(&self.input("ids"))),
            "video" => self.scored(video_classifier(2, 3).apply(&self.input("x"))),
            name => panic!("no model is called {name}"),
        }
    }

    /// Writes the fixture's parameters, and the bias that Marian has but does not train.
    fn fill(&self, weights: &Weights) {
        for variable in weights.variables() {
            let name = &*variable.name;
            match variable.role {
                Role::Parameter => weights.write(name, self.get(&format!("parameter.{name}"))).unwrap(),
                _ if name == "final_logits_bias" => weights.write(name, self.get(&format!("input.{name}"))).unwrap(),
                _ => {}
            }
        }
    }

    /// A session of a graph's outputs with the parameters and inputs of the fixture.
    fn session(&self, outputs: &[(&str, &Tensor)]) -> Session {
        let plan =
            self.graph.plan(outputs, context().target()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let weights = Weights::init(context(), &plan, 1).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        self.fill(&weights);
        for variable in self.graph.variables().iter().filter(|variable| variable.role == Role::Input) {
            session.write(&variable.name, self.get(&format!("input.{}", variable.name))).unwrap();
        }
        session
    }
}

/// The models of the fixture whose names begin so.
fn compare(prefix: &str) {
    let fixture = Fixture::open("models");
    let mut compared = 0;
    for table in &fixture.table {
        let name = table["name"].as_str().unwrap();
        if !name.starts_with(prefix) {
            continue;
        }
        compared += 1;
        // Without dropout, which draws other numbers than PyTorch's.
        let config = table["config"].to_string();
        let case = |mode| Case { fixture: &fixture, name, config: config.clone(), graph: Graph::new(mode) };

        let used = case(Mode::Infer);
        let (output, loss) = used.build();
        let parameters = used.graph.parameters();
        let slopes = gradients(&loss, &parameters);
        used.graph.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        let variables = used.graph.variables();
        let names: Vec<&str> = variables.iter().filter(|v| v.role == Role::Parameter).map(|v| &*v.name).collect();
        let (beginning, there) = (format!("{name}.parameter."), fixture.names());
        let mut there: Vec<&str> = there.filter_map(|key| key.strip_prefix(&beginning)).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        there.sort_unstable();
        assert_eq!(sorted, there, "{name}: the names of the parameters");

        let keys: Vec<String> = names.iter().map(|name| format!("gradient.{name}")).collect();
        let mut outputs = vec![("output", &output), ("loss", &loss)];
        for (key, slope) in keys.iter().zip(&slopes) {
            outputs.push((key, slope.as_ref().unwrap_or_else(|| panic!("{name}: no {key}"))));
        }
        let session = used.session(&outputs);
        session.run().unwrap();
        let size = |numbers: &[f32]| numbers.iter().fold(0.0_f32, |size, x| size.max(x.abs()));
        let expected: Vec<Vec<f32>> = outputs.iter().map(|(key, _)| used.get(key).to_f32()).collect();
        let largest = expected[2..].iter().map(|slope| size(slope)).fold(0.0, f32::max);
        for ((key, _), expected) in outputs.iter().zip(&expected) {
            let found = session.read_blocking(key).unwrap().to_f32();
            if size(expected) > 1e-9 {
                assert_close(&format!("{name} {key}"), &found, expected, 1e-4);
            } else {
                // A bias of the keys adds the same to all scores of a query: only rounding has a slope.
                assert!(key.contains("k_proj.bias") || key.contains("key.bias"), "{name}: {key} is 0");
                assert!(size(&found) <= 1e-6 * largest, "{name}: {key} is {}, not 0", size(&found));
            }
        }

        let trained = case(Mode::Train);
        let loss = trained.build().1;
        AdamW::new(0.01).minimise(&loss);
        let session = trained.session(&[("loss", &loss)]);
        let curve: Vec<f32> = (0..20)
            .map(|_| {
                session.run().unwrap();
                session.read_blocking("loss").unwrap().to_f32()[0]
            })
            .collect();
        assert_close(&format!("{name} losses"), &curve, &trained.get("curve").to_f32(), 1e-3);
    }
    assert!(compared > 0, "no model begins with {prefix}");
}

#[test]
fn layers_of_transformers_are_pytorchs() {
    compare("encoder_layer");
    compare("decoder_layer");
}

#[test]
fn models_begin_with_the_initial_values_of_their_library() {
    let graph = Graph::new(Mode::Train);
    let ids = graph.input_of("ids", [1, 4], DType::U32);
    bert(&BertConfig { num_hidden_layers: 1, ..BertConfig::default() }).masked_lm(&ids);
    gpt2(&Gpt2Config { n_layer: 2, ..Gpt2Config::default() }).apply(&ids);
    seq2seq([100, 100], 64).layers(1).logits(&ids, None, &ids);
    let expected = [
        ("bert.embeddings.word_embeddings.weight", Init::NormalBut { std: 0.02, row: 0 }),
        ("bert.embeddings.position_embeddings.weight", Init::normal(0.02)),
        ("bert.encoder.layer.0.attention.self.query.weight", Init::normal(0.02)),
        ("bert.encoder.layer.0.attention.self.query.bias", Init::zeros()),
        ("bert.encoder.layer.0.output.LayerNorm.weight", Init::ones()),
        ("cls.predictions.bias", Init::zeros()),
        ("transformer.wte.weight", Init::normal(0.02)),
        ("transformer.h.1.attn.c_attn.weight", Init::normal(0.02)),
        ("transformer.h.1.mlp.c_proj.weight", Init::normal(0.01)),
        ("transformer.h.1.attn.c_proj.weight", Init::normal(0.01)),
        ("source_embed.weight", Init::normal(1.0)),
        ("encoder.layers.0.linear1.weight", Init::xavier(64, 2048)),
        ("encoder.layers.0.linear1.bias", Init::fan_in(64)),
        ("decoder.layers.0.multihead_attn.in_proj_weight", Init::xavier(64, 3 * 64)),
        ("decoder.layers.0.multihead_attn.in_proj_bias", Init::zeros()),
        ("decoder.layers.0.multihead_attn.out_proj.weight", Init::xavier(64, 64)),
        ("decoder.layers.0.multihead_attn.out_proj.bias", Init::zeros()),
    ];
    graph.check().unwrap();
    for (name, init) in expected {
        let variable = graph.variables().into_iter().find(|variable| &*variable.name == name);
        assert_eq!(variable.unwrap_or_else(|| panic!("{name} is missing")).init, Some(init), "{name}");
    }
}

#[test]
fn bert_and_its_heads_are_those_of_transformers() {
    compare("bert");
}

#[test]
fn published_models_have_their_number_of_parameters() {
    let count = |build: &dyn Fn(&Tensor) -> Tensor| {
        let graph = Graph::new(Mode::Infer);
        build(&graph.input_of("ids", [1, 4], DType::U32));
        graph.check().unwrap();
        graph.parameters().iter().map(|parameter| parameter.shape().numel()).sum::<usize>()
    };
    assert_eq!(count(&|ids| bert(&BertConfig::default()).pooled(ids)), 109_482_240);
    assert_eq!(count(&|ids| gpt2(&Gpt2Config::default()).apply(ids)), 124_439_808);
    let around = 2 * 10 * 512 + 10 * 512 + 10;
    assert_eq!(count(&|ids| seq2seq([10, 10], 512).logits(ids, None, ids)), 44_140_544 + around);
}

#[test]
fn a_transformer_learns_with_dropout() {
    let (graph, used) = (Graph::new(Mode::Train), Graph::new(Mode::Infer));
    let model = seq2seq([VOCABULARY; 2], 16).heads(2).layers(1).hidden(32).norm_first();
    let loss_in = |graph: &Graph| {
        let [source, target, next] = ["source", "target", "next"].map(|name| graph.input_of(name, [4, 5], DType::U32));
        model.logits(&source, None, &target).flatten(0, 1).cross_entropy(&next.flatten(0, 1))
    };
    let (loss, without) = (loss_in(&graph), loss_in(&used));
    AdamW::new(0.01).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 3).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    let plan = used.plan(&[("loss", &without)], context().target()).unwrap();
    let used = Session::new(context(), plan, &weights).unwrap();
    // The target is the source backwards.
    let source: Vec<u32> = (0..20).map(|i| 1 + i * 7 % 16).collect();
    let next: Vec<u32> = source.chunks(5).flat_map(|row| row.iter().rev()).copied().collect();
    let target: Vec<u32> = next.chunks(5).flat_map(|row| [&[0], &row[..4]].concat()).collect();
    let loss = |session: &Session| {
        session.run().unwrap();
        session.read_blocking("loss").unwrap().to_f32()[0]
    };
    for session in [&session, &used] {
        for (name, ids) in [("source", &source), ("target", &target), ("next", &next)] {
            session.write(name, &Array::from_u32([4, 5], ids).unwrap()).unwrap();
        }
    }
    let (whole, dropped) = (loss(&used), loss(&session));
    assert_ne!(dropped, whole, "nothing was dropped");
    for _ in 0..60 {
        session.run().unwrap();
    }
    let last = loss(&used);
    assert!(last < 0.3 * whole, "the loss is {last}, at first it was {whole}");
}

#[test]
fn files_of_bert_load_with_and_without_a_head() {
    let folder = tempfile::tempdir().unwrap();
    let config = BertConfig { vocab_size: 11, hidden_size: 8, num_attention_heads: 2, ..BertConfig::default() };
    let config = BertConfig { num_hidden_layers: 1, intermediate_size: 6, ..config };
    let weights_of = |head: bool, seed: u64| {
        let graph = Graph::new(Mode::Infer);
        let (bert, ids) = (bert(&config), graph.input_of("ids", [1, 3], DType::U32));
        let y = if head { bert.masked_lm(&ids) } else { bert.pooled(&ids) };
        Weights::init(context(), &graph.plan(&[("y", &y)], context().target()).unwrap(), seed).unwrap()
    };
    let load = Load::new().optional_prefix("bert.");
    let load = load.allow_missing("pooler.").ignore_unexpected("pooler.");
    let load = load.allow_missing("cls.").ignore_unexpected("cls.");
    let name = "encoder.layer.0.attention.self.query.weight";
    for head in [false, true] {
        let from = weights_of(head, 1);
        let path = folder.path().join("model.safetensors");
        checkpoint::save(&from, &path).unwrap();
        for other in [false, true] {
            let to = weights_of(other, 2);
            load.file(&to, &path).unwrap();
            let read = |weights: &Weights, head: bool| {
                weights.read(&format!("{}{name}", if head { "bert." } else { "" })).unwrap().to_f32()
            };
            assert_eq!(read(&to, other), read(&from, head));
            assert_ne!(read(&to, other), read(&weights_of(other, 2), other));
        }
    }
    let strict = Load::new().file(&weights_of(false, 1), folder.path().join("model.safetensors")).unwrap_err();
    assert!(strict.message().contains(name), "{strict}");
}

#[test]
fn gpt2_is_that_of_transformers() {
    compare("gpt2");
}

#[test]
fn gpt2_reads_token_by_token_what_it_reads_at_once() {
    let fixture = Fixture::open("models");
    let table = fixture.table.iter().find(|table| table["name"] == "gpt2").unwrap();
    let config = table["config"].to_string();
    let case = || Case { fixture: &fixture, name: "gpt2", config: config.clone(), graph: Graph::new(Mode::Infer) };
    let model = gpt2(&Gpt2Config::from_json(&config).unwrap());
    let (ids, expected) = (case().get("input.ids").to_u32(), case().get("output").to_f32());

    // Prompts of three lengths, then a plan for one token at a time; both on the same weights.
    let starts = [4, 1, 3];
    let plan = |count: usize| {
        let graph = Graph::new(Mode::Infer);
        let (ids, lengths) =
            (graph.input_of("ids", [3, count], DType::U32), graph.input_of("lengths", [3], DType::U32));
        let logits = model.clone().cached(9).lengths(&lengths).apply(&ids);
        graph.plan(&[("logits", &logits)], context().target()).unwrap()
    };
    let weights = Weights::init(context(), &plan(4), 1).unwrap();
    case().fill(&weights);
    let check = |count: usize, first: [usize; 3], lengths: [u32; 3], found: &[f32]| {
        for b in 0..3 {
            for t in 0..lengths[b] as usize {
                let row = |row: usize| row * VOCABULARY..(row + 1) * VOCABULARY;
                let (found, expected) = (&found[row(b * count + t)], &expected[row(b * 7 + first[b] + t)]);
                assert_close(&format!("text {b}, token {}", first[b] + t), found, expected, 1e-4);
            }
        }
    };
    let run = |session: &Session, count: usize, first: [usize; 3], lengths: [u32; 3]| {
        let next = |b: usize| (0..count).map(move |t| (b, first[b] + t));
        let next: Vec<u32> = (0..3).flat_map(next).map(|(b, t)| if t < 7 { ids[b * 7 + t] } else { 0 }).collect();
        session.write("ids", &Array::from_u32([3, count], &next).unwrap()).unwrap();
        session.write("lengths", &Array::from_u32([3], &lengths).unwrap()).unwrap();
        session.run().unwrap();
        check(count, first, lengths, &session.read_blocking("logits").unwrap().to_f32());
    };
    run(&Session::new(context(), plan(4), &weights).unwrap(), 4, [0; 3], starts.map(|start| start as u32));
    let single = Session::new(context(), plan(1), &weights).unwrap();
    for token in 0..6 {
        let first = starts.map(|start| start + token);
        // A text that has ended stands still.
        run(&single, 1, first.map(|t| t.min(7)), first.map(|t| u32::from(t < 7)));
    }
    assert_eq!(weights.read("position").unwrap().to_u32(), [7; 3]);
}

#[test]
fn an_lstm_language_model_is_pytorchs() {
    compare("lstm_lm");
}

#[test]
fn marian_is_that_of_transformers() {
    compare("marian");
}

#[test]
fn translation_by_transformers_is_pytorchs() {
    compare("seq2seq");
}

#[test]
fn translation_goes_on_token_by_token() {
    let fixture = Fixture::open("models");
    for name in ["marian", "seq2seq", "seq2seq_norm_first"] {
        let table = fixture.table.iter().find(|table| table["name"] == name).unwrap();
        let case =
            Case { fixture: &fixture, name, config: table["config"].to_string(), graph: Graph::new(Mode::Infer) };
        let (source, lengths) = (case.input("source"), case.input("lengths"));
        let token = case.graph.input_of("token", [3, 1], DType::U32);
        let transformer = seq2seq([VOCABULARY; 2], WIDTH).heads(2).layers(1).hidden(14);
        let model: Box<dyn Translator> = match name {
            "marian" => Box::new(marian(&MarianConfig::from_json(&case.config).unwrap())),
            "seq2seq" => Box::new(transformer),
            _ => Box::new(transformer.norm_first()),
        };
        let logits = model.decode(&token, &model.encode(&source, Some(&lengths)).cached(7));
        let plan = case.graph.plan(&[("logits", &logits)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        case.fill(&weights);
        let session = Session::new(context(), plan, &weights).unwrap();
        for key in ["source", "lengths"] {
            session.write(key, case.get(&format!("input.{key}"))).unwrap();
        }
        let (ids, expected) = (case.get("input.ids").to_u32(), case.get("output").to_f32());
        for t in 0..7 {
            let tokens = [0, 1, 2].map(|b| ids[b * 7 + t]);
            session.write("token", &Array::from_u32([3, 1], &tokens).unwrap()).unwrap();
            session.run().unwrap();
            let found = session.read_blocking("logits").unwrap().to_f32();
            let row = |b: usize| &expected[(b * 7 + t) * VOCABULARY..(b * 7 + t + 1) * VOCABULARY];
            assert_close(&format!("{name}, token {t}"), &found, &[0, 1, 2].map(row).concat(), 1e-4);
        }
    }
}

#[test]
fn translation_by_lstms_is_pytorchs() {
    compare("lstm_seq2seq");
}

#[test]
fn text_classifiers_are_pytorchs() {
    compare("text_");
    compare("conv_text");
}

#[test]
fn a_video_classifier_is_pytorchs() {
    compare("video");
}
