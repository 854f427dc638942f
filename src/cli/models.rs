//! The models that `wgrad summary` and `wgrad profile` know.

use crate::{
    data::{DType, Shape},
    graph::{Graph, Mode, Tensor},
    models::{alexnet, lenet},
    nn::Layer,
    optim::AdamW,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Model {
    /// AlexNet for images of 224×224.
    Alexnet,
    /// The network of `wgrad train digits`.
    Digits,
}

impl Model {
    /// The shape of its input `x`.
    pub fn input(self, batch: usize) -> Shape {
        match self {
            Model::Alexnet => [batch, 3, 224, 224].into(),
            Model::Digits => [batch, 1, 8, 8].into(),
        }
    }

    fn logits(self, graph: &Graph, batch: usize) -> Tensor {
        let x = graph.input("x", self.input(batch));
        match self {
            Model::Alexnet => alexnet(1000).apply(&x),
            Model::Digits => lenet(10).apply(&x),
        }
    }

    /// Its use: logits of inputs.
    pub fn inference(self, batch: usize) -> (Graph, Tensor) {
        let graph = Graph::new(Mode::Infer);
        let logits = self.logits(&graph, batch);
        (graph, logits)
    }

    /// A step of its training with AdamW: the loss of inputs and `label`.
    pub fn training(self, batch: usize) -> (Graph, Tensor) {
        let graph = Graph::new(Mode::Train);
        let loss = self.logits(&graph, batch).cross_entropy(&graph.input_of("label", [batch], DType::U32));
        AdamW::new(1e-3).minimise(&loss);
        (graph, loss)
    }
}
