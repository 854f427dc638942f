//! Generation: token for token what transformers writes, as `fixtures/generation.py` made it; what is generated without a
//! cache; what sampling may and must draw.

use crate::fixture::Fixture;
use serde_json::Value;
use std::{ops::ControlFlow, rc::Rc};
use wgrad::{
    chain,
    generate::{EarlyStopping, Generator, Options},
    models::{
        Gpt2Config, MarianConfig, Memory, Translator, gpt2, language_model, lstm_lm, lstm_seq2seq, marian, seq2seq,
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
        let [prompts, expected] = ["prompts", "tokens"]
            .map(|key| -> Vec<Vec<u32>> { table[key].as_array().unwrap().iter().map(ids).collect() });
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

/// How many tokens the models have that are compared with themselves.
const VOCABULARY: usize = 19;

/// A model that is read as a whole for every token: log-probabilities of what follows.
struct Whole {
    session: Session,
    source: Option<Vec<u32>>,
}

const LONGEST: usize = 24;

impl Whole {
    fn after(&self, text: &[u32]) -> Vec<f64> {
        let mut ids = text.to_vec();
        ids.resize(LONGEST, 0);
        self.session.write("ids", &Array::from_u32([1, LONGEST], &ids).unwrap()).unwrap();
        if let Some(source) = &self.source {
            self.session.write("source", &Array::from_u32([1, source.len()], source).unwrap()).unwrap();
        }
        self.session.run().unwrap();
        let logits = self.session.read_blocking("logits").unwrap().to_f32();
        let row: Vec<f64> = logits[(text.len() - 1) * VOCABULARY..][..VOCABULARY].iter().map(|&x| x.into()).collect();
        let sum = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        row.iter().map(|x| x - sum).collect()
    }

    fn greedy(&self, prompt: &[u32], count: usize, eos: u32) -> Vec<u32> {
        let mut text = prompt.to_vec();
        while text.len() < prompt.len() + count && (text.len() == prompt.len() || text.last() != Some(&eos)) {
            let next = self.after(&text);
            text.push((0..VOCABULARY).max_by(|&a, &b| next[a].total_cmp(&next[b])).unwrap() as u32);
        }
        text.split_off(prompt.len())
    }

    /// The text with the largest sum over length^power; the search goes on to the last token.
    fn searched(&self, prompt: &[u32], count: usize, eos: u32, beams: usize, power: f64) -> Vec<u32> {
        let mut running = vec![(prompt.to_vec(), 0.0)];
        let mut finished: Vec<(Vec<u32>, f64)> = Vec::new();
        let mut locked = false;
        for length in 1..=count {
            let mut all: Vec<(Vec<u32>, f64)> = Vec::new();
            for (text, score) in &running {
                let next = self.after(text);
                all.extend((0..VOCABULARY).map(|id| ([&text[..], &[id as u32]].concat(), score + next[id])));
            }
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(2 * beams);
            let scale = (length as f64).powf(power);
            let ends = |text: &[u32]| length == count || text.last() == Some(&eos);
            if !locked {
                finished
                    .extend(all[..beams].iter().filter(|(text, _)| ends(text)).map(|(t, s)| (t.clone(), s / scale)));
                finished.sort_by(|a, b| b.1.total_cmp(&a.1));
                finished.truncate(beams);
            }
            running = all.into_iter().filter(|(text, _)| !ends(text)).take(beams).collect();
            locked |= finished.len() == beams
                && running.first().is_none_or(|(_, score)| score / scale <= finished[beams - 1].1);
        }
        finished.swap_remove(0).0.split_off(prompt.len())
    }
}

/// Greedy and with beams, prompts of several lengths at once, what the whole model says one by one.
fn compare_with_whole(
    name: &str,
    generator: &dyn Fn(Options) -> Generator,
    whole: &dyn Fn(&[u32]) -> (Whole, Vec<u32>),
) {
    let prompts = [vec![3, 9, 14, 2, 2, 11], vec![18], vec![6, 1, 17]];
    let (count, eos) = (12, 5);
    let found = generator(Options::greedy().max_new_tokens(count).eos(eos)).run(&prompts).unwrap();
    let beams = Options::beam(3).length_penalty(1.4).max_new_tokens(count).eos(eos);
    let searched = generator(beams).run(&prompts).unwrap();
    for (at, prompt) in prompts.iter().enumerate() {
        let (whole, beginning) = whole(prompt);
        assert_eq!(found[at], whole.greedy(&beginning, count, eos), "{name} greedy, prompt {at}");
        assert_eq!(searched[at], whole.searched(&beginning, count, eos, 3, 1.4), "{name} beams, prompt {at}");
    }
}

fn compare_language_model(name: &str, model: impl Layer + 'static) {
    let model = Rc::new(model);
    let build = |graph: &Graph| model.apply(&graph.input_of("ids", [1, LONGEST], DType::U32));
    let weights = sharpened(drawn(build, 5));
    let shared = model.clone();
    let generator = move |options| {
        let model = shared.clone();
        Generator::new(context(), &weights, move |ids: &Tensor| model.apply(ids), options).unwrap()
    };
    let weights = sharpened(drawn(build, 5));
    let whole = |prompt: &[u32]| {
        let graph = Graph::new(Mode::Infer);
        let plan = graph.plan(&[("logits", &build(&graph))], context().target()).unwrap();
        (Whole { session: Session::new(context(), plan, &weights).unwrap(), source: None }, prompt.to_vec())
    };
    compare_with_whole(name, &generator, &whole);
}

/// Larger weights, so that models are of more than one opinion.
fn sharpened(weights: Weights) -> Weights {
    for variable in weights.variables() {
        let numbers: Vec<f32> = weights.read(&variable.name).unwrap().to_f32().iter().map(|x| 3.0 * x).collect();
        if variable.desc.shape.rank() == 2 {
            weights.write(&variable.name, &Array::from_f32(variable.desc.shape, &numbers).unwrap()).unwrap();
        }
    }
    weights
}

/// A translator that several generators share.
struct Shared(Rc<dyn Translator>);

impl Translator for Shared {
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory {
        self.0.encode(source, lengths)
    }

    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor {
        self.0.decode(target, memory)
    }
}

fn compare_translator(name: &str, model: impl Translator + 'static) {
    let model: Rc<dyn Translator> = Rc::new(model);
    let whole_of = |graph: &Graph, count: usize| {
        let ids = graph.input_of("ids", [1, LONGEST], DType::U32);
        model.logits(&graph.input_of("source", [1, count], DType::U32), None, &ids)
    };
    let weights = sharpened(drawn(|graph| whole_of(graph, 3), 9));
    let generator =
        |options: Options| Generator::translator(context(), &weights, Shared(model.clone()), options.start(2)).unwrap();
    let whole = |prompt: &[u32]| {
        let graph = Graph::new(Mode::Infer);
        let plan = graph.plan(&[("logits", &whole_of(&graph, prompt.len()))], context().target()).unwrap();
        (Whole { session: Session::new(context(), plan, &weights).unwrap(), source: Some(prompt.to_vec()) }, vec![2])
    };
    compare_with_whole(name, &generator, &whole);
}

#[test]
fn recurrent_models_write_what_they_do_without_a_cache() {
    compare_language_model("lstm", lstm_lm(VOCABULARY, 12, 2));
    compare_language_model("gru", language_model(VOCABULARY, 12, gru(12)));
}

#[test]
fn transformers_write_what_they_do_without_a_cache() {
    let block = || transformer_block(2, 20).causal();
    compare_language_model(
        "rotary",
        language_model(VOCABULARY, 12, stack("layers", 2, block().norm_first(true).rotary())),
    );
    let positions = chain![sinusoidal_positions(), stack("layers", 1, block())];
    compare_language_model("sinusoids", language_model(VOCABULARY, 12, positions));
    // Without generate_token at the end.
    let ends_otherwise = chain![embed(VOCABULARY, 8), learned_positions(40), block(), linear(VOCABULARY)];
    compare_language_model("linear", ends_otherwise);
}

#[test]
fn translators_write_what_they_do_without_a_cache() {
    compare_translator("seq2seq", seq2seq([VOCABULARY; 2], 12).heads(2).layers(2).hidden(16));
    compare_translator("norm first", seq2seq([VOCABULARY; 2], 12).heads(3).layers(1).hidden(16).norm_first());
    compare_translator("lstm", lstm_seq2seq([VOCABULARY; 2], 12, 2));
}

/// A model whose next token depends on the last one alone: rows of a matrix are its logits.
fn markov(seed: u64) -> (Weights, Vec<f64>) {
    let weights = drawn(|graph| embed(9, 9).apply(&graph.input_of("ids", [1, 2], DType::U32)), seed);
    let rows = weights.read("weight").unwrap().to_f32().iter().map(|&x| x.into()).collect();
    (weights, rows)
}

/// The probabilities of the next token that options leave.
fn left(row: &[f64], temperature: f64, k: usize, p: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.truncate(k);
    let weight = |id: usize| (row[id] / temperature).exp();
    let sum: f64 = order.iter().map(|&id| weight(id)).sum();
    let mut before = 0.0;
    order.retain(|&id| {
        let kept = before < p;
        before += weight(id) / sum;
        kept
    });
    let sum: f64 = order.iter().map(|&id| weight(id)).sum();
    (0..row.len()).map(|id| if order.contains(&id) { weight(id) / sum } else { 0.0 }).collect()
}

#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    let (weights, rows) = markov(4);
    let prompts: Vec<Vec<u32>> = (0..400_u32).map(|i| vec![i % 9]).collect();
    let sample = || Options::sample(11).max_new_tokens(10);
    for (options, temperature, k, p) in [
        (sample(), 1.0, 9, 2.0),
        (sample().temperature(0.6), 0.6, 9, 2.0),
        (sample().top_k(3), 1.0, 3, 2.0),
        (sample().top_p(0.7), 1.0, 9, 0.7),
        (sample().temperature(1.5).top_k(6).top_p(0.8), 1.5, 6, 0.8),
        (sample().top_p(1e-6), 1.0, 9, 1e-6),
    ] {
        let what = format!("{:?}", options.choice);
        let texts = Generator::new(context(), &weights, embed(9, 9), options).unwrap().run(&prompts).unwrap();
        let mut counts = [[0_u32; 9]; 9];
        for (prompt, text) in prompts.iter().zip(&texts) {
            let mut last = prompt[0];
            for &id in text {
                counts[last as usize][id as usize] += 1;
                last = id;
            }
        }
        let (mut squares, mut freedom) = (0.0, 0.0);
        for (row, counts) in rows.chunks(9).zip(&counts) {
            let expected = left(row, temperature, k, p);
            let drawn = f64::from(counts.iter().sum::<u32>());
            for (probability, &count) in expected.iter().zip(counts) {
                if *probability == 0.0 {
                    assert_eq!(count, 0, "{what}: drew what must not be drawn");
                } else if drawn > 0.0 {
                    squares += (f64::from(count) - drawn * probability).powi(2) / (drawn * probability);
                    freedom += 1.0;
                }
            }
            freedom -= f64::from(u8::from(drawn > 0.0));
        }
        // Wilson and Hilferty: the cube root of χ² over its degrees of freedom is nearly normal.
        if freedom > 0.0 {
            let spread = 2.0 / (9.0 * freedom);
            let deviation = ((squares / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
            assert!(deviation.abs() < 4.0, "{what}: χ² is {squares} for {freedom}, {deviation} deviations off");
        }
    }
}

#[test]
fn the_same_seed_writes_the_same_texts() {
    let (weights, _) = markov(4);
    let prompts: Vec<Vec<u32>> = vec![vec![1]; 20];
    let run = |seed: u64, count: usize| {
        let options = Options::sample(seed).max_new_tokens(12).tokens_per_submit(count);
        let mut generator = Generator::new(context(), &weights, embed(9, 9), options).unwrap();
        let texts = generator.run(&prompts).unwrap();
        assert_eq!(generator.run(&prompts).unwrap(), texts, "again");
        assert_eq!(pollster::block_on(generator.generate(&prompts)).unwrap(), texts, "as a task");
        texts
    };
    let texts = run(3, 4);
    assert_eq!(texts, run(3, 5));
    assert_ne!(texts, run(4, 4));
    assert_ne!(texts, run(3 + (1 << 40), 4));
    assert!(texts.iter().any(|text| *text != texts[0]), "all rows drew the same");
    // Nothing of it is left in the weights.
    assert_eq!(weights.variables().len(), 1);
}

/// Weights of a matrix of logits that say `next[i]` behind i.
fn saying(next: [u32; 9]) -> Weights {
    let (weights, _) = markov(1);
    let rows: Vec<f32> = next.iter().flat_map(|&id| (0..9).map(move |i| if i == id { 5.0 } else { 0.0 })).collect();
    weights.write("weight", &Array::from_f32([9, 9], &rows).unwrap()).unwrap();
    weights
}

#[test]
fn it_ends_early_and_says_texts_as_they_come() {
    let weights = saying([1, 2, 3, 4, 5, 6, 7, 8, 8]);
    let options = Options::greedy().max_new_tokens(200).eos(4).tokens_per_submit(2);
    let mut generator = Generator::new(context(), &weights, embed(9, 9), options.clone()).unwrap();
    let prompts = [vec![0], vec![2], vec![3]];
    let expected = [vec![1, 2, 3, 4], vec![3, 4], vec![4]];
    assert_eq!(generator.run(&prompts).unwrap(), expected);
    assert!(generator.made() < 12, "{} tokens were made", generator.made());

    let mut said = [(); 3].map(|()| Vec::new());
    let mut times = 0;
    let texts = generator.run_with(&prompts, |news| {
        times += 1;
        said.iter_mut().zip(news).for_each(|(text, news)| text.extend(news));
        ControlFlow::Continue(())
    });
    assert_eq!(texts.unwrap(), expected);
    assert_eq!((said, times), (expected.clone(), 3));
    assert!(generator.made() < 12);

    let endless = Options::greedy().max_new_tokens(200).tokens_per_submit(2);
    let mut generator = Generator::new(context(), &weights, embed(9, 9), endless).unwrap();
    let mut times = 0;
    let texts = generator.run_with(&prompts, |_| {
        times += 1;
        if times == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(generator.made() < 12 && texts.unwrap()[0].len() == generator.made());

    let searched = Options::beam(3).max_new_tokens(200).eos(4).tokens_per_submit(2);
    let searched = searched.early_stopping(EarlyStopping::Full);
    let mut generator = Generator::new(context(), &weights, embed(9, 9), searched).unwrap();
    let mut said = Vec::new();
    let texts = generator.run_with(&[[2]], |news| {
        said.extend(news.to_vec());
        ControlFlow::Continue(())
    });
    assert_eq!((texts.unwrap(), said), (vec![vec![3, 4]], vec![vec![3, 4]]));
    assert!(generator.made() < 30, "{} tokens were made", generator.made());
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let weights = saying([0; 9]);
    let generator = |options| Generator::new(context(), &weights, embed(9, 9), options);
    let message = |options| generator(options).unwrap_err().message().to_owned();
    assert_eq!(message(Options::greedy().max_new_tokens(0)), "generate: max_new_tokens is 0, not at least 1");
    assert_eq!(message(Options::sample(1).temperature(0.0)), "generate: temperature is 0, not a number above 0");
    assert_eq!(message(Options::sample(1).top_p(1.5)), "generate: top_p is 1.5, not above 0 and at most 1");
    assert_eq!(message(Options::beam(33)), "generate: 33 beams are not 1 to 32");

    let run =
        |options, prompts: &[Vec<u32>]| generator(options).unwrap().run(prompts).unwrap_err().message().to_owned();
    assert_eq!(run(Options::greedy(), &[vec![1], vec![]]), "generate: prompt 1 has no tokens");
    assert_eq!(run(Options::greedy(), &[vec![1, 9]]), "generate: prompt 0 has token 9, the model has 9");
    assert_eq!(run(Options::greedy().eos(11), &[vec![1]]), "generate: eos is 11, the model has 9 tokens");
    let expected = "generate: 5 beams need 10 tokens to choose from, the model has 9";
    assert_eq!(run(Options::beam(5), &[vec![1]]), expected);
    assert_eq!(generator(Options::greedy()).unwrap().run(&[] as &[Vec<u32>]).unwrap(), Vec::<Vec<u32>>::new());

    let of = |model: Box<dyn Layer>| {
        let mut generator = Generator::new(context(), &weights, model, Options::greedy().max_new_tokens(10)).unwrap();
        generator.run(&[[1, 2, 3]]).unwrap_err()
    };
    let short = of(Box::new(chain![embed(9, 9), learned_positions(11)]));
    assert_eq!(short.message(), "learned_positions: there are 11 positions, the sequences need 12");
    let seeing = of(Box::new(chain![embed(9, 8), transformer_block(2, 8)]));
    let expected =
        "multi_head_attention: cannot go on token by token, as not all that it sees is there before the token";
    assert_eq!(seeing.message(), expected);
    let backwards = of(Box::new(chain![embed(9, 8), lstm(8).bidirectional()]));
    assert_eq!(backwards.message(), "lstm: cannot go on token by token, as it reads in both directions");
    let lacking = of(Box::new(chain![embed(9, 9).named(""), linear(9).named("head")]));
    assert!(lacking.is_name() && lacking.message().contains("head."), "{lacking}");
}
