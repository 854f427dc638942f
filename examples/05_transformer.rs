//! A transformer block, written from operations, learns to reverse sequences.

use wgrad::{chain, nn::*, optim::AdamW, prelude::*};

const BATCH: usize = 32;
const LENGTH: usize = 6;
const TOKENS: usize = 8;
const WIDTH: usize = 32;
const HEADS: usize = 4;

/// SelfAttention(x) = softmax(Q·Kᵀ/√d)·V in several heads, then an output matrix.
fn self_attention(x: &Tensor) -> Tensor {
    let (batch, length, width) = (x.size(0), x.size(1), x.size(2));
    let heads = |name: &str| {
        let y = linear(width).named(name).apply(x);
        y.reshape([batch, length, HEADS, width / HEADS]).permute(&[0, 2, 1, 3])
    };
    let (q, k, v) = (heads("query"), heads("key"), heads("value"));
    let weights = (q.matmul(&k.transpose(-1, -2)) * (1.0 / ((width / HEADS) as f32).sqrt())).softmax(-1);
    let y = weights.matmul(&v).permute(&[0, 2, 1, 3]).reshape([batch, length, width]);
    linear(width).named("out").apply(&y)
}

/// AddNorm(f, x) = LayerNorm(x + f(x))
fn add_norm(f: impl Layer) -> impl Layer {
    move |x: &Tensor| layer_norm().named("norm").apply(&(x + f.apply_at("f", x)))
}

/// TransformerBlock(x) = AddNorm(FeedForward, AddNorm(SelfAttention, x))
fn transformer_block() -> impl Layer {
    chain![add_norm(self_attention), add_norm(feed_forward(2 * WIDTH))]
}

/// Logits of the reversed sequence: tokens and positions embedded, two blocks, a matrix.
fn network(ids: &Tensor) -> Tensor {
    let graph = ids.graph();
    let positions = graph.parameter("positions", [LENGTH, WIDTH], Init::normal(0.1));
    let x = embed(TOKENS, WIDTH).named("embed").apply(ids) + positions;
    chain![transformer_block(), transformer_block(), linear(TOKENS)].apply(&x)
}

fn sequences(seed: u32) -> (Vec<u32>, Vec<u32>) {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % TOKENS as u32
    };
    let ids: Vec<u32> = (0..BATCH * LENGTH).map(|_| next()).collect();
    let reversed = ids.chunks(LENGTH).flat_map(|row| row.iter().rev().copied()).collect();
    (ids, reversed)
}

fn main() -> Result<(), Error> {
    let graph = Graph::new(Mode::Train);
    let ids = graph.input_of("ids", [BATCH, LENGTH], DType::U32);
    let target = graph.input_of("target", [BATCH * LENGTH], DType::U32);
    let logits = network(&ids).reshape([BATCH * LENGTH, TOKENS]);
    let loss = logits.cross_entropy(&target);
    let accuracy = logits.argmax(1).eq(&target).cast(DType::F32).mean_all();
    AdamW::new(3e-3).minimise(&loss);

    let context = pollster::block_on(Context::new())?;
    let plan = graph.plan(&[("loss", &loss), ("accuracy", &accuracy)], context.target())?;
    let weights = Weights::init(&context, &plan, 0)?;
    let session = Session::new(&context, plan, &weights)?;
    let mut right = 0.0;
    for step in 1..=300 {
        let (ids, reversed) = sequences(step);
        session.write("ids", &Array::from_u32([BATCH, LENGTH], &ids)?)?;
        session.write("target", &Array::from_u32([BATCH * LENGTH], &reversed)?)?;
        session.run()?;
        if step % 50 == 0 {
            right = session.read_blocking("accuracy")?.to_f32()[0];
            let loss = session.read_blocking("loss")?.to_f32()[0];
            println!("step {step}: loss {loss:.4}, {:.0} % of the tokens right", 100.0 * right);
        }
    }
    assert!(right > 0.95, "the block did not learn to reverse: {right}");
    Ok(())
}
