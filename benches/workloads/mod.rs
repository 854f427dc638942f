//! The models that several benchmarks run.

use wgrad::{
    chain,
    models::{BertConfig, alexnet, bert, lenet},
    nn::*,
    optim::{Adam, AdamW, Sgd},
    prelude::*,
};

/// A model with its name, as a graph and what is read of it.
pub struct Workload {
    pub name: &'static str,
    pub build: fn() -> (Graph, Tensor),
}

/// A training step of a classifier of images.
fn training(network: &dyn Layer, image: [usize; 4], update: impl Fn(&Tensor)) -> (Graph, Tensor) {
    let graph = Graph::new(Mode::Train);
    let label = graph.input_of("label", [image[0]], DType::U32);
    let loss = network.apply(&graph.input("x", image)).cross_entropy(&label);
    update(&loss);
    (graph, loss)
}

/// MiniLM's sizes, without dropout, and a classifier of two classes on the mean of its vectors.
fn bert_mini(graph: &Graph, batch: usize) -> Tensor {
    let config = BertConfig {
        hidden_size: 384,
        num_hidden_layers: 6,
        intermediate_size: 1536,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::default()
    };
    let ids = graph.input_of("ids", [batch, 128], DType::U32);
    chain![bert(&config), collapse::average(), linear(2)].apply(&ids)
}

/// The models of the cold starts.
pub fn workloads() -> Vec<Workload> {
    vec![
        Workload {
            name: "digits step",
            build: || training(&lenet(10), [32, 1, 8, 8], |loss| AdamW::new(1e-3).minimise(loss)),
        },
        Workload {
            name: "cnn28 step",
            build: || {
                let net = chain![
                    conv(16, 3).pad(1),
                    relu(),
                    max_pool(2, 2),
                    conv(32, 3).pad(1),
                    relu(),
                    max_pool(2, 2),
                    flatten(),
                    linear(10)
                ];
                training(&net, [64, 1, 28, 28], |loss| Sgd::new(0.01).minimise(loss))
            },
        },
        Workload {
            name: "bert-mini",
            build: || {
                let graph = Graph::new(Mode::Infer);
                let logits = bert_mini(&graph, 1);
                (graph, logits)
            },
        },
        Workload {
            name: "bert-mini step",
            build: || {
                let graph = Graph::new(Mode::Train);
                let loss = bert_mini(&graph, 4).cross_entropy(&graph.input_of("label", [4], DType::U32));
                Adam::new(1e-4).minimise(&loss);
                (graph, loss)
            },
        },
        Workload {
            name: "alexnet",
            build: || {
                let graph = Graph::new(Mode::Infer);
                let logits = alexnet(1000).apply(&graph.input("x", [1, 3, 224, 224]));
                (graph, logits)
            },
        },
        Workload {
            name: "alexnet step",
            build: || training(&alexnet(1000), [4, 3, 224, 224], |loss| Sgd::new(0.01).minimise(loss)),
        },
    ]
}
