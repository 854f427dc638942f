//! `cargo bench --bench generation`: what a text costs with keys and values kept, and with all of it read again for every
//! token.

use std::time::Instant;
use wgrad::{
    generate::{Generator, Options},
    models::{Gpt2Config, gpt2},
    nn::Continuation,
    prelude::*,
};

const LENGTHS: [usize; 4] = [16, 32, 64, 128];

/// Lengths at which a model that reads all again is measured; those between take the next one's time.
const GRAIN: usize = 8;

/// Seconds of work: on a software driver the processor's, which other programs on the machine do not stretch.
struct Clock {
    counts_processor: bool,
    begin: Instant,
}

impl Clock {
    fn new(context: &Context) -> Clock {
        let counts_processor = context.target().class.is_software() && processor_seconds().is_some();
        Clock { counts_processor, begin: Instant::now() }
    }

    fn now(&self) -> f64 {
        let passed = || self.begin.elapsed().as_secs_f64();
        if self.counts_processor { processor_seconds().unwrap_or_else(passed) } else { passed() }
    }

    /// The mean time of so many runs, after one that is not counted.
    fn mean(&self, runs: usize, mut run: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
        run()?;
        let begin = self.now();
        (0..runs).try_for_each(|_| run())?;
        Ok((self.now() - begin) / runs as f64)
    }
}

/// What all threads of this process have had of the processor, where the system says so.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// The power of the length with which times grow from the first to the last.
fn power(seconds: &[f64]) -> f64 {
    let grows = seconds[seconds.len() - 1] / seconds[0];
    grows.ln() / (LENGTHS[LENGTHS.len() - 1] as f64 / LENGTHS[0] as f64).ln()
}

fn main() -> Result<(), Error> {
    let context = pollster::block_on(Context::new())?;
    let config = Gpt2Config { vocab_size: 8192, n_embd: 256, n_layer: 4, n_head: 4, ..Gpt2Config::default() };
    let whole = |length: usize| {
        let graph = Graph::new(Mode::Infer);
        let ids = graph.input_of("ids", [1, length], DType::U32);
        let lengths = graph.input_of("lengths", [1], DType::U32);
        let logits = Continuation::begin(&lengths, 1, length).within(|| gpt2(&config).apply(&ids));
        graph.plan(&[("next", &logits.argmax(-1))], context.target())
    };
    let weights = Weights::init(&context, &whole(1)?, 1)?;

    let (clock, mut kept) = (Clock::new(&context), Vec::new());
    for length in LENGTHS {
        let options = Options::greedy().max_new_tokens(length);
        let mut generator = Generator::new(&context, &weights, gpt2(&config), options)?;
        kept.push(clock.mean(512 / length, || generator.run(&[[1]]).map(drop))?);
    }

    // Reading a whole text once, at lengths of a grid.
    let mut once = Vec::new();
    for length in (GRAIN..=LENGTHS[LENGTHS.len() - 1]).step_by(GRAIN) {
        let plan = whole(length)?;
        let own = weights.beside(&[&plan], 0)?;
        let session = Session::new(&context, plan, &own)?;
        session.write("lengths", &Array::from_u32([1], &[length as u32])?)?;
        once.push(clock.mean(12, || {
            session.run()?;
            session.read_blocking("next").map(drop)
        })?);
    }
    let again = LENGTHS.map(|length| (0..length).map(|t| once[t / GRAIN]).sum::<f64>());

    println!("device    {} ({:?})", context.name(), context.target().class);
    println!("time      {}", if clock.counts_processor { "the processor's, of all cores" } else { "as it passes" });
    println!("model     GPT-2 of {} layers, width {}, {} tokens\n", config.n_layer, config.n_embd, config.vocab_size);
    println!("{:>6}  {:>9}  {:>12}  {:>14}  {:>6}", "tokens", "kept, ms", "ms per token", "read again, ms", "ratio");
    for (i, length) in LENGTHS.iter().enumerate() {
        let (kept, again) = (kept[i] * 1e3, again[i] * 1e3);
        println!("{length:>6}  {kept:>9.1}  {:>12.2}  {again:>14.1}  {:>6.1}", kept / *length as f64, again / kept);
    }
    println!("\nkept grows as tokens^{:.2}, read again as tokens^{:.2}", power(&kept), power(&again));
    Ok(())
}
