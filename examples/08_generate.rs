//! A small transformer learns a rhyme letter by letter, then goes on with prompts: greedy, drawn, and by beam search.

use std::ops::ControlFlow;
use wgrad::{
    generate::{Generator, Options},
    models::language_model,
    nn::*,
    optim::AdamW,
    prelude::*,
};

const TEXT: &str = "how much wood would a woodchuck chuck if a woodchuck could chuck wood? \
    as much wood as a woodchuck would, if a woodchuck could chuck wood. ";
const BATCH: usize = 12;
const LENGTH: usize = 40;
const WIDTH: usize = 32;

/// LanguageModel(x) = GenerateToken(TransformerBlock²(EmbedToken(x))), which knows where letters stand by rotation.
fn model(letters: usize) -> impl Layer {
    let block = transformer_block(4, 2 * WIDTH).norm_first(true).rotary().causal().dropout(0.0, 0.0, 0.0);
    language_model(letters, WIDTH, stack("layers", 2, block))
}

fn main() -> Result<(), Error> {
    let mut letters: Vec<char> = TEXT.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let ids_of = |text: &str| -> Vec<u32> {
        text.chars().filter_map(|c| letters.binary_search(&c).ok()).map(|id| id as u32).collect()
    };
    let text_of = |ids: &[u32]| -> String { ids.iter().map(|&id| letters[id as usize]).collect() };

    let graph = Graph::new(Mode::Train);
    let [ids, next] = ["ids", "next"].map(|name| graph.input_of(name, [BATCH, LENGTH], DType::U32));
    let loss = model(letters.len()).apply(&ids).flatten(0, 1).cross_entropy(&next.flatten(0, 1));
    AdamW::new(4e-3).minimise(&loss);
    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("loss", &loss)], context.target())?;
    let weights = Weights::init(&context, &plan, 1)?;
    let session = Session::new(&context, plan, &weights)?;
    let text = ids_of(TEXT);
    for step in 0..120 {
        // Windows that begin anywhere in the text, which begins again at its end.
        let window = |b: usize, shift: usize| {
            let first = (step * BATCH + b) * 89 + shift;
            text.iter().cycle().skip(first % text.len()).take(LENGTH).copied().collect::<Vec<u32>>()
        };
        for (name, shift) in [("ids", 0), ("next", 1)] {
            let windows: Vec<u32> = (0..BATCH).flat_map(|b| window(b, shift)).collect();
            session.write(name, &Array::from_u32([BATCH, LENGTH], &windows)?)?;
        }
        session.run()?;
        if step % 30 == 29 {
            println!("step {}: loss {:.4}", step + 1, session.read_blocking("loss")?.to_f32()[0]);
        }
    }

    let prompts = ["how much wood w", "as much"];
    let ids = prompts.map(ids_of);
    let options = [
        ("greedy", Options::greedy()),
        ("drawn", Options::sample(3).temperature(0.8).top_p(0.9)),
        ("beams", Options::beam(4)),
    ];
    for (name, options) in options {
        let options = options.max_new_tokens(24);
        let mut generator = Generator::new(&context, &weights, model(letters.len()), options)?;
        for (prompt, text) in prompts.iter().zip(generator.run(&ids)?) {
            let text = text_of(&text);
            println!("{name:>7}: {prompt}|{text}");
            let follows = &TEXT[TEXT.find(prompt).map_or(0, |at| at + prompt.len())..];
            assert!(name == "drawn" || follows.starts_with(&text), "{name}: {prompt:?} went on with {text:?}");
        }
    }

    // A text as it comes, up to a full stop.
    let stop = ids_of(".")[0];
    let options = Options::greedy().max_new_tokens(200).eos(stop).tokens_per_submit(4);
    let mut generator = Generator::new(&context, &weights, model(letters.len()), options)?;
    let mut pieces = 0;
    let texts = generator.run_with(&[ids_of(", if a woodchuck could")], |news| {
        pieces += 1;
        print!("{}{}", if pieces > 1 { "|" } else { "streamed: " }, text_of(&news[0]));
        ControlFlow::Continue(())
    })?;
    println!();
    assert!(pieces > 2 && texts[0].last() == Some(&stop), "the text did not end");
    Ok(())
}
