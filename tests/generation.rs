//! Generation: token for token what transformers writes, as `fixtures/generation.py` made it; what is generated without a
//! cache; what sampling may and must draw.

use crate::fixture::Fixture;
use serde_json::Value;
use std::{cell::RefCell, ops::ControlFlow};
use wgrad::{
    data::TensorDesc,
    generate::{EarlyStopping, Generator, Options},
    models::{
        Gpt2, Gpt2Config, MarianConfig, Translator, gpt2, language_model, lstm_lm, lstm_seq2seq, marian, seq2seq,
    },
    nn::*,
    prelude::*,
    testing::context,
};

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// One or several ids.
fn one_or_more(value: &Value) -> Vec<u32> {
    if value.is_array() { ids(value) } else { value.as_u64().map(|id| id as u32).into_iter().collect() }
}

/// The options of a run of the fixture.
fn options(table: &Value) -> Options {
    let mut options = match table["num_beams"].as_u64() {
        Some(beams) => Options::beam(beams as usize),
        None => Options::greedy(),
    };
    for (key, value) in table.as_object().unwrap() {
        options = match key.as_str() {
            "num_beams" | "pad_token_id" => options,
            "max_new_tokens" => options.max_new_tokens(value.as_u64().unwrap() as usize),
            "min_new_tokens" => options.min_new_tokens(value.as_u64().unwrap() as usize),
            "eos_token_id" => one_or_more(value).into_iter().fold(options, Options::eos),
            "forced_eos_token_id" => options.forced_eos(value.as_u64().unwrap() as u32),
            "repetition_penalty" => options.repetition_penalty(value.as_f64().unwrap() as f32),
            "length_penalty" => options.length_penalty(value.as_f64().unwrap() as f32),
            "bad_words_ids" => options.suppress(&value.as_array().unwrap().iter().flat_map(ids).collect::<Vec<u32>>()),
            "early_stopping" if value == true => options.early_stopping(EarlyStopping::Full),
            "early_stopping" if value == "never" => options.early_stopping(EarlyStopping::Never),
            key => panic!("no option is called {key}"),
        };
    }
    options
}

/// The weights of a model of the fixture; `build` writes it into a graph.
fn weights_of(fixture: &Fixture, name: &str, build: impl Fn(&Graph) -> Tensor) -> Weights {
    let weights = drawn(build, 1);
    for variable in weights.variables() {
        weights.write(&variable.name, fixture.get(&format!("{name}.parameter.{}", variable.name))).unwrap();
    }
    weights
}

/// Random weights of a model.
fn drawn(build: impl Fn(&Graph) -> Tensor, seed: u64) -> Weights {
    let graph = Graph::new(Mode::Infer);
    let plan = graph.plan(&[("y", &build(&graph))], context().target()).unwrap();
    Weights::init(context(), &plan, seed).unwrap()
}

/// Every run of a model in the fixture, all prompts at once, three tokens a submit.
fn compare(name: &str, run: impl Fn(&str) -> Box<dyn Fn(Options) -> Generator>) {
    let fixture = Fixture::open("generation");
    let config = fixture.table.iter().find(|table| table["model"] == name && table["config"].is_object()).unwrap();
    let generator = run(&config["config"].to_string());
    let mut compared = 0;
    for table in fixture.table.iter().filter(|table| table["model"] == name && table["run"].is_string()) {
        let [prompts, expected] = ["prompts", "tokens"].map(|key| -> Vec<Vec<u32>> {
            table[key].as_array().unwrap().iter().map(ids).collect()
        });
        let mut generator = generator(options(&table["options"]).tokens_per_submit(3));
        assert_eq!(generator.run(&prompts).unwrap(), expected, "{name} {}", table["run"]);
        // Sizes that are there already.
        let fewer = [&prompts[2][..5], &prompts[0], &prompts[1], &prompts[3]];
        let texts = generator.run(&fewer).unwrap();
        assert_eq!(texts[1..], [&expected[..2], &expected[3..]].concat(), "{name} {}, again", table["run"]);
        compared += 1;
    }
    assert!(compared >= 17, "{compared} runs of {name}");
}

#[test]
fn gpt2_writes_what_transformers_does() {
    compare("gpt2", |config| {
        let (fixture, model) = (Fixture::open("generation"), gpt2(&Gpt2Config::from_json(config).unwrap()));
        let weights = weights_of(&fixture, "gpt2", |graph| model.apply(&graph.input_of("ids", [1, 2], DType::U32)));
        Box::new(move |options| Generator::new(context(), &weights, model.clone(), options).unwrap())
    });
}

#[test]
fn marian_writes_what_transformers_does() {
    compare("marian", |config| {
        let (fixture, model) = (Fixture::open("generation"), marian(&MarianConfig::from_json(config).unwrap()));
        let weights = weights_of(&fixture, "marian", |graph| {
            let ids = graph.input_of("ids", [1, 2], DType::U32);
            model.logits(&ids, None, &ids)
        });
        Box::new(move |options| Generator::translator(context(), &weights, model.clone(), options).unwrap())
    });
}
