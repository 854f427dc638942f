//! Whole models: a forward pass, or training steps with the weights that every engine begins with.

use crate::{
    inputs::{bytes_of_numbers, numbers, tokens},
    workload::{Make, Pass, Ready, Workload},
};
use wgrad::{
    chain,
    graph::{Role, Variable},
    models::{BertConfig, bert},
    nn::*,
    optim::{Adam, Sgd},
    prelude::*,
};

/// AlexNet as torchvision has it, without dropout.
fn alexnet() -> impl Layer {
    chain![
        conv(64, 11).stride(4).pad(2),
        relu(),
        max_pool(3, 2),
        conv(192, 5).pad(2),
        relu(),
        max_pool(3, 2),
        conv(384, 3).pad(1),
        relu(),
        conv(256, 3).pad(1),
        relu(),
        conv(256, 3).pad(1),
        relu(),
        max_pool(3, 2),
        flatten(),
        linear(4096),
        relu(),
        linear(4096),
        relu(),
        linear(1000),
    ]
}

/// Two convolutions and a linear layer for images of 28×28.
fn convnet() -> impl Layer {
    chain![
        conv(16, 3).pad(1),
        relu(),
        max_pool(2, 2),
        conv(32, 3).pad(1),
        relu(),
        max_pool(2, 2),
        flatten(),
        linear(10),
    ]
}

/// Six blocks of width 384, the mean over the sequence, and two classes.
fn bert_mini(ids: &Tensor) -> Tensor {
    let config = BertConfig {
        hidden_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 1536,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::default()
    };
    let states = bert(&config).apply(ids);
    linear(2).apply_at("head", &collapse::average().apply(&states))
}

/// The scale of a parameter's first values: 0.05 for embeddings, else 1/√fan_in; a bias has its weight's.
fn scale(variable: &Variable, before: f32) -> f32 {
    let shape = &variable.desc.shape;
    match shape.rank() {
        _ if variable.name.contains("_embeddings.") => 0.05,
        1 => before,
        _ => 1.0 / ((1..shape.rank()).map(|d| shape[d]).product::<usize>() as f32).sqrt(),
    }
}

/// Writes the parameters: seeds count from 1000 in the order of declaration; norms keep ones and zeros.
fn fill(weights: &Weights, plan: &Plan) -> Result<(), Error> {
    let parameters = plan.variables().iter().filter(|variable| variable.role == Role::Parameter);
    let mut last = 0.0;
    for (seed, variable) in (1000..).zip(parameters.filter(|variable| !variable.name.contains("LayerNorm"))) {
        last = scale(variable, last);
        let array = Array::new(variable.desc.clone(), bytes_of_numbers(seed, variable.desc.shape.numel(), last))?;
        weights.write(&variable.name, &array)?;
    }
    Ok(())
}

/// Pictures of a shape.
fn images(shape: [usize; 4]) -> impl Fn() -> Result<Array, Error> {
    move || Array::from_f32(shape, &numbers(1, shape.iter().product(), 1.0))
}

/// Sequences of 128 tokens.
fn sentences(count: usize) -> impl Fn() -> Result<Array, Error> {
    move || Array::from_u32([count, 128], &tokens(1, count * 128, 30_522))
}

/// A model of an input, and for training of labels below `classes`.
fn model(
    x: impl Fn() -> Result<Array, Error> + 'static,
    classes: u32,
    network: impl Fn(&Tensor) -> Tensor + 'static,
) -> Make {
    Box::new(move |context, pass| {
        let x = x()?;
        let graph = Graph::new(if pass.trains() { Mode::Train } else { Mode::Infer });
        let desc = x.desc();
        let y = network(&graph.input_of("x", desc.shape.clone(), desc.dtype));
        let batch = desc.shape[0];
        let label = graph.input_of("label", [batch], DType::U32);
        let (name, output) = if pass.trains() { ("loss", y.cross_entropy(&label)) } else { ("y", y) };
        match pass {
            Pass::TrainSgd => Sgd::new(0.01).minimise(&output),
            Pass::TrainAdam => Adam::new(1e-4).minimise(&output),
            Pass::Forward | Pass::ForwardBackward => {}
        }
        let plan = graph.plan(&[(name, &output)], context.target())?;
        let weights = Weights::init(context, &plan, 0)?;
        fill(&weights, &plan)?;
        let session = Session::new(context, plan, &weights)?;
        session.write("x", &x)?;
        if pass.trains() {
            session.write("label", &Array::from_u32([batch], &tokens(2, batch, classes))?)?;
        }
        Ok(Ready { session, checked: vec![name.to_owned()] })
    })
}

/// All of them.
pub fn models() -> Vec<Workload> {
    let workload = |name, passes, make| Workload { name, passes, make };
    let (forward, sgd, adam) = (&[Pass::Forward], &[Pass::TrainSgd], &[Pass::TrainAdam]);
    vec![
        workload("alexnet_b1", forward, model(images([1, 3, 224, 224]), 1000, |x| alexnet().apply(x))),
        workload("bert_mini_b1", forward, model(sentences(1), 2, bert_mini)),
        workload("alexnet_b4", sgd, model(images([4, 3, 224, 224]), 1000, |x| alexnet().apply(x))),
        workload("bert_mini_b4", adam, model(sentences(4), 2, bert_mini)),
        workload("cnn28_b64", sgd, model(images([64, 1, 28, 28]), 10, |x| convnet().apply(x))),
    ]
}
