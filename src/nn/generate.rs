//! GenerateToken: how likely each token of a vocabulary is.

use super::{Continuation, Layer};
use crate::{
    error::Place,
    graph::{Init, Tensor},
};

/// Logits over a vocabulary: see [`generate_token`].
#[derive(Clone, Debug)]
pub struct GenerateToken {
    vocabulary: usize,
    weight: String,
    bias: Option<String>,
    place: Place,
}

/// `[…, E]` → logits `[…, vocabulary]` by x·Eᵀ; parameter `weight [vocabulary, E]`, U(±1/√E), or that of an embedding.
///
/// Of prompts with which a [`Continuation`] begins only the last token's are computed, `[B, 1, vocabulary]`.
///
/// ```
/// # use wgrad::{nn::*, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let x = embed(1000, 64).apply_at("embed", &graph.input_of("ids", [8, 20], DType::U32));
/// let logits = generate_token(1000).tied("embed").apply(&x);
/// assert_eq!((logits.shape(), graph.parameters().len()), ([8, 20, 1000].into(), 1));
/// ```
#[track_caller]
pub fn generate_token(vocabulary: usize) -> GenerateToken {
    GenerateToken { vocabulary, weight: "weight".into(), bias: None, place: Place::here() }
}

impl GenerateToken {
    /// Shares the weight of the embedding with this name, seen from where the layer is applied.
    pub fn tied(mut self, embedding: &str) -> GenerateToken {
        self.weight = format!("{embedding}.weight");
        self
    }

    /// A bias of this name, `[vocabulary]`, at first 0.
    pub fn bias(mut self, name: &str) -> GenerateToken {
        self.bias = Some(name.to_owned());
        self
    }
}

impl Layer for GenerateToken {
    fn apply(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            if x.is_failed() {
                return x.clone();
            }
            let weight = graph.parameter(&self.weight, [self.vocabulary, x.size(-1)], Init::fan_in(x.size(-1)));
            let bias = self.bias.as_ref().map(|name| graph.parameter(name, [self.vocabulary], Init::zeros()));
            let x = Continuation::of(graph).map_or_else(|| x.clone(), |continuation| continuation.last(x));
            x.linear(&weight, bias.as_ref())
        })
    }
}
