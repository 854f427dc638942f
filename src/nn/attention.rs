//! Attention layers: SelfAttention and its form between two sequences.

use super::{Cache, Continuation, Layer, linear};
use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind, Place},
    graph::{Init, Tensor, Variable},
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
    rotary: bool,
    projections: Projections,
    place: Place,
}

/// How the weights of queries, keys, values and results lie in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Projections {
    /// PyTorch's: `in_proj_weight`, `in_proj_bias` and the layer `out_proj`.
    #[default]
    Packed,
    /// A linear layer of its own, with this name, for each of queries, keys, values and results: Hugging Face's.
    Apart([&'static str; 4]),
    /// GPT-2's: one linear layer for queries, keys and values, one for results, their weights `[in, out]`.
    Transposed([&'static str; 2]),
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
    let (projections, place) = (Projections::Packed, Place::here());
    MultiHeadAttention { embed, heads, bias: true, causal: false, dropout: 0.0, rotary: false, projections, place }
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

    /// Turns queries and keys by their positions: [`Tensor::rotary`].
    pub fn rotary(self, rotary: bool) -> MultiHeadAttention {
        MultiHeadAttention { rotary, ..self }
    }

    /// Weights of other names or another order, each weight U(±1/√embed) as a linear layer's.
    pub fn projections(self, projections: Projections) -> MultiHeadAttention {
        MultiHeadAttention { projections, ..self }
    }

    /// Attention from one sequence to another: query `[B, Tq, embed]`, key `[B, Tk, kdim]`, value
    /// `[B, Tk, vdim]` → `[B, Tq, embed]`. Masks, biases, lengths and the scale are those of `options`.
    ///
    /// Within a [`Continuation`] a sequence that looks at itself goes on behind its earlier tokens, and what it looks at
    /// elsewhere is projected once.
    pub fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor, options: Attention) -> Tensor {
        self.within(query, || {
            if let Some(continuation) = Continuation::of(query.graph()) {
                return self.attend_continued([query, key, value], options, &continuation);
            }
            let [q, k, v] = self.project(query, key, value)?;
            let turned = |x: &Tensor| x.transpose(1, 2).rotary().transpose(1, 2);
            let (q, k) = if self.rotary { (turned(&q), turned(&k)) } else { (q, k) };
            let causal = options.causal || self.causal;
            let dropout = options.dropout.max(self.dropout);
            let y = q.attention(&k, &v, Attention { causal, dropout, heads_last: true, ..options });
            self.merge(query, &y)
        })
    }

    /// Attention of new positions `[B, T, embed]` to themselves and to all that came before, in an inference
    /// graph: keys and values stay in the states `k_cache` and `v_cache` `[B, heads, most, embed/heads]`.
    ///
    /// All of it is read on the GPU. The model [advances](Cache::advance) the cache behind its last layer.
    pub fn attend_cached(&self, x: &Tensor, cache: &Cache) -> Tensor {
        self.within(x, || {
            let graph = x.graph();
            let [q, k, v] = self.project(x, x, x)?.map(|x| x.transpose(1, 2));
            let [batch, count] = [x.size(0), x.size(1)];
            let turned = |x: &Tensor| x.rotary_at(&cache.positions(count).unsqueeze(1));
            let (q, k) = if self.rotary { (turned(&q), turned(&k)) } else { (q, k) };
            let kept = |name: &str, rows: &Tensor| {
                let shape = [batch, self.heads, cache.most(), self.embed / self.heads];
                graph.append_rows(
                    &graph.state(name, TensorDesc::new(shape, x.dtype()), Init::zeros()),
                    rows,
                    cache.seen(),
                )
            };
            let (k, v) = (kept("k_cache", &k), kept("v_cache", &v));
            let y = q.attention(&k, &v, Attention::causal().from_end().lengths(&cache.with(count)));
            self.merge(x, &y.transpose(1, 2))
        })
    }

    /// Attention of sequences that go on.
    fn attend_continued(&self, inputs: [&Tensor; 3], options: Attention, way: &Continuation) -> Option<Tensor> {
        let (query, graph) = (inputs[0], inputs[0].graph());
        let options = Attention { causal: options.causal || self.causal, heads_last: true, ..options };
        let itself = inputs.iter().all(|input| input.id() == query.id());
        let reason = match &options {
            options if options.mask.is_some() || options.bias.is_some() => "its mask or bias is that of whole sequences",
            options if itself && options.lengths.is_some() => "its lengths are those of whole sequences",
            options if itself != options.causal => "not all that it sees is there before the token",
            _ => "",
        };
        if !reason.is_empty() {
            way.refuse("multi_head_attention", reason);
            return None;
        }
        let [q, k, v] = self.project(inputs[0], inputs[1], inputs[2])?;
        let (count, heads, width) = (query.size(1), self.heads, self.embed / self.heads);
        let positions = way.positions(count).map(|positions| positions.unsqueeze(1));
        let turned = |x: &Tensor| match &positions {
            _ if !self.rotary => x.clone(),
            Some(positions) => x.transpose(1, 2).rotary_at(positions).transpose(1, 2),
            None => x.transpose(1, 2).rotary().transpose(1, 2),
        };
        let q = turned(&q);
        if !itself {
            let kept = |name: &str, rows: Tensor| {
                if way.lengths().is_some() {
                    let state = graph.state(name, rows.desc(), Init::zeros());
                    graph.assign(&state, &rows);
                    rows
                } else {
                    graph.state(name, rows.desc(), Init::zeros())
                }
            };
            let (k, v) = (kept("k_memory", turned(&k)), kept("v_memory", v));
            // Sequences that go on from one source are so many queries of it.
            let sources = k.size(0);
            let folded = q.reshape([sources, q.size(0) / sources * count, heads, width]);
            return self.merge(query, &folded.attention(&k, &v, options).reshape(q.shape()));
        }
        let k = turned(&k);
        let most = way.cache().most();
        let sequences = query.size(0) * way.copies().unwrap_or(1);
        let kept = |name: &str, rows: &Tensor| {
            let desc = TensorDesc::new([sequences, heads, most, width], rows.dtype());
            let state = graph.state(name, desc, Init::zeros());
            let rows = rows.transpose(1, 2);
            match (way.copies(), way.source()) {
                (Some(copies), _) => {
                    let first = graph.full([], 0.0, DType::U32);
                    graph.append_rows(&state, &rows.repeat_interleave(copies, 0), &first)
                }
                (None, Some((source, group))) => {
                    let state = graph.exchange_rows(&state, source, way.cache().seen(), group);
                    graph.append_rows(&state, &rows, way.cache().seen())
                }
                (None, None) => graph.append_rows(&state, &rows, way.cache().seen()),
            }
        };
        let (all_k, all_v) = (kept("k_cache", &k), kept("v_cache", &v));
        let y = if way.lengths().is_some() {
            q.attention(&k, &v, options)
        } else {
            let options = Attention { lengths: Some(way.cache().with(count)), heads_last: false, ..options.from_end() };
            q.transpose(1, 2).attention(&all_k, &all_v, options).transpose(1, 2)
        };
        self.merge(query, &y)
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
        let projected = match self.projections {
            Projections::Packed => self.packed(inputs),
            Projections::Apart(names) => {
                std::array::from_fn(|i| linear(self.embed).bias(self.bias).apply_at(names[i], inputs[i]))
            }
            Projections::Transposed([name, _]) => {
                let all = |x: &Tensor| linear(3 * self.embed).bias(self.bias).transposed(true).apply_at(name, x);
                if query.id() == key.id() && query.id() == value.id() {
                    self.thirds(&all(query))
                } else {
                    std::array::from_fn(|i| self.thirds(&all(inputs[i]))[i].clone())
                }
            }
        };
        graph.check().ok()?;
        let split = |x: Tensor| x.reshape([x.size(0), x.size(1), self.heads, self.embed / self.heads]);
        Some(projected.map(split))
    }

    /// Queries, keys and values that lie side by side.
    fn thirds(&self, all: &Tensor) -> [Tensor; 3] {
        std::array::from_fn(|i| all.slice(2, i * self.embed..(i + 1) * self.embed))
    }

    /// Queries, keys and values by PyTorch's weights.
    fn packed(&self, inputs: [&Tensor; 3]) -> [Tensor; 3] {
        let (graph, embed) = (inputs[0].graph(), self.embed);
        let bias = self.bias.then(|| graph.parameter("in_proj_bias", [3 * embed], Init::zeros()));
        let range = |i: usize| i * embed..(i + 1) * embed;
        let bias_of = |i: usize| bias.as_ref().map(|bias| bias.slice(0, range(i)));
        if inputs.iter().any(|x| x.size(-1) != embed) {
            return std::array::from_fn(|i| {
                let name = ["q_proj_weight", "k_proj_weight", "v_proj_weight"][i];
                let width = if i == 0 { embed } else { inputs[i].size(-1) };
                let weight = graph.parameter(name, [embed, width], Init::xavier(width, embed));
                inputs[i].linear(&weight, bias_of(i).as_ref())
            });
        }
        let weight = graph.parameter("in_proj_weight", [3 * embed, embed], Init::xavier(embed, 3 * embed));
        if inputs.iter().all(|x| x.id() == inputs[0].id()) {
            return self.thirds(&inputs[0].linear(&weight, bias.as_ref()));
        }
        std::array::from_fn(|i| inputs[i].linear(&weight.slice(0, range(i)), bias_of(i).as_ref()))
    }

    /// The heads `[B, T, heads, width]` through the output matrix.
    fn merge(&self, query: &Tensor, y: &Tensor) -> Option<Tensor> {
        let graph = query.graph();
        graph.check().ok()?;
        let y = y.reshape([query.size(0), query.size(1), self.embed]);
        let linear = linear(self.embed).bias(self.bias);
        let zero_bias = |variable: &Variable| (variable.desc.shape.rank() == 1).then(Init::zeros);
        Some(match self.projections {
            Projections::Packed => graph.initialise(zero_bias, || linear.apply_at("out_proj", &y)),
            Projections::Apart([.., name]) => linear.apply_at(name, &y),
            Projections::Transposed([_, name]) => linear.transposed(true).apply_at(name, &y),
        })
    }
}

impl Layer for MultiHeadAttention {
    fn apply(&self, x: &Tensor) -> Tensor {
        self.attend(x, x, x, Attention::default())
    }
}
