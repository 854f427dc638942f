//! Attention layers: SelfAttention and its form between two sequences.

use super::Layer;
use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind, Place},
    graph::{Init, Tensor},
    ops::Attention,
};

/// Several heads of softmax attention side by side (Vaswani et al. 2017), `torch.nn.MultiheadAttention`
/// with `batch_first=True`: see [`multi_head_attention`].
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadAttention {
    embed: usize,
    heads: usize,
    bias: bool,
    causal: bool,
    dropout: f32,
    place: Place,
}

/// `[B, T, embed]` → `[B, T, embed]` through `heads` heads of width embed/heads.
///
/// Parameters `in_proj_weight [3·embed, embed]` (rows of q, k, v), U(±√(6/(4·embed))), `in_proj_bias` = 0,
/// `out_proj.weight [embed, embed]`, U(±1/√embed), and `out_proj.bias` = 0. Where keys or values have another
/// width, `q_proj_weight`, `k_proj_weight [embed, kdim]` and `v_proj_weight [embed, vdim]` take the place of the
/// first.
///
/// ```
/// use wgrad::{nn::*, ops::Attention, prelude::*};
///
/// let graph = Graph::new(Mode::Train);
/// let (x, y) = (graph.input("x", [2, 50, 64]), graph.input("y", [2, 20, 64]));
/// let encoded = multi_head_attention(64, 4).apply_at("self_attn", &x);
/// let decoder = multi_head_attention(64, 4).dropout(0.1);
/// let lengths = graph.input_of("lengths", [2], DType::U32);
/// let decoded = graph.scoped("cross_attn", || {
///     decoder.attend(&y, &encoded, &encoded, Attention::default().lengths(&lengths))
/// });
/// assert_eq!(decoded.shape(), [2, 20, 64].into());
/// ```
#[track_caller]
pub fn multi_head_attention(embed: usize, heads: usize) -> MultiHeadAttention {
    MultiHeadAttention { embed, heads, bias: true, causal: false, dropout: 0.0, place: Place::here() }
}

impl MultiHeadAttention {
    /// Whether there are biases; there are if not said.
    pub fn bias(self, bias: bool) -> MultiHeadAttention {
        MultiHeadAttention { bias, ..self }
    }

    /// Lets every position see only itself and those before it.
    pub fn causal(self) -> MultiHeadAttention {
        MultiHeadAttention { causal: true, ..self }
    }

    /// The probability that a weight of the softmax is dropped in training.
    pub fn dropout(self, probability: f32) -> MultiHeadAttention {
        MultiHeadAttention { dropout: probability, ..self }
    }

    /// Attention from one sequence to another: query `[B, Tq, embed]`, key `[B, Tk, kdim]`, value
    /// `[B, Tk, vdim]` → `[B, Tq, embed]`. Masks, biases, lengths and the scale are those of `options`.
    pub fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor, options: Attention) -> Tensor {
        self.within(query, || {
            let [q, k, v] = self.project(query, key, value)?;
            let causal = options.causal || self.causal;
            let dropout = options.dropout.max(self.dropout);
            let y = q.attention(&k, &v, Attention { causal, dropout, heads_last: true, ..options });
            self.merge(query, &y)
        })
    }

    /// Attention of new positions `[B, T, embed]` to themselves and to all that came before, in an inference
    /// graph: keys and values stay in the states `k_cache` and `v_cache` `[B, heads, most, embed/heads]`, the
    /// number of positions of each sequence in the state `length` `[B]`, which grows by T in every run.
    ///
    /// All of it is read on the GPU, so one plan makes any number of tokens. Where prompts differ in length,
    /// write the true lengths into `length` after the run that reads the prompts.
    pub fn attend_cached(&self, x: &Tensor, most: usize) -> Tensor {
        self.within(x, || {
            let graph = x.graph();
            let [q, k, v] = self.project(x, x, x)?.map(|x| x.transpose(1, 2));
            let [batches, count] = [x.size(0), x.size(1)];
            let width = self.embed / self.heads;
            let cache = |name: &str, rows: &Tensor, at: &Tensor| {
                let desc = TensorDesc::new([batches, self.heads, most, width], x.dtype());
                graph.append_rows(&graph.state(name, desc, Init::zeros()), rows, at)
            };
            let length = graph.state("length", TensorDesc::new([batches], DType::U32), Init::zeros());
            let (k, v) = (cache("k_cache", &k, &length), cache("v_cache", &v, &length));
            let length = graph.advance(&length, count as u32);
            let y = q.attention(&k, &v, Attention::causal().from_end().lengths(&length));
            self.merge(x, &y.transpose(1, 2))
        })
    }

    /// Runs `body` with mistakes at the layer's place; `None` is a mistake already recorded.
    fn within(&self, x: &Tensor, body: impl FnOnce() -> Option<Tensor>) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            if self.heads == 0 || !self.embed.is_multiple_of(self.heads) {
                let message = format!("multi_head_attention: {} is not a multiple of {} heads", self.embed, self.heads);
                graph.fail(Error::new(ErrorKind::Shape, message));
            }
            body().unwrap_or_else(|| graph.failed())
        })
    }

    /// The heads of queries, keys and values, `[B, T, heads, width]`.
    fn project(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Option<[Tensor; 3]> {
        let graph = query.graph();
        let inputs = [query, key, value];
        for (x, name) in inputs.iter().zip(["query", "key", "value"]) {
            x.dims(name, ["B", "T", "E"])?;
        }
        graph.check().ok()?;
        let embed = self.embed;
        let bias = self.bias.then(|| graph.parameter("in_proj_bias", [3 * embed], Init::zeros()));
        let range = |i: usize| i * embed..(i + 1) * embed;
        let bias_of = |i: usize| bias.as_ref().map(|bias| bias.slice(0, range(i)));
        let projected: [Tensor; 3] = if key.size(-1) != embed || value.size(-1) != embed {
            std::array::from_fn(|i| {
                let name = ["q_proj_weight", "k_proj_weight", "v_proj_weight"][i];
                let width = if i == 0 { embed } else { inputs[i].size(-1) };
                let weight = graph.parameter(name, [embed, width], Init::xavier(width, embed));
                inputs[i].linear(&weight, bias_of(i).as_ref())
            })
        } else {
            let weight = graph.parameter("in_proj_weight", [3 * embed, embed], Init::xavier(embed, 3 * embed));
            if query.id() == key.id() && query.id() == value.id() {
                let all = query.linear(&weight, bias.as_ref());
                std::array::from_fn(|i| all.slice(2, range(i)))
            } else {
                std::array::from_fn(|i| inputs[i].linear(&weight.slice(0, range(i)), bias_of(i).as_ref()))
            }
        };
        let split = |x: Tensor| x.reshape([x.size(0), x.size(1), self.heads, embed / self.heads]);
        Some(projected.map(split))
    }

    /// The heads `[B, T, heads, width]` through the output matrix.
    fn merge(&self, query: &Tensor, y: &Tensor) -> Option<Tensor> {
        let graph = query.graph();
        graph.check().ok()?;
        Some(graph.scoped("out_proj", || {
            let weight = graph.parameter("weight", [self.embed; 2], Init::fan_in(self.embed));
            let bias = self.bias.then(|| graph.parameter("bias", [self.embed], Init::zeros()));
            y.reshape([query.size(0), query.size(1), self.embed]).linear(&weight, bias.as_ref())
        }))
    }
}

impl Layer for MultiHeadAttention {
    fn apply(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, Attention::default())
    }
}
