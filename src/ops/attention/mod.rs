//! attention: y = softmax(scale·q·kᵀ + bias)·v, without the softmax ever being in memory.
//!
//! Tiles of the scores are formed, weighted and summed into y with an online softmax (Milakov and
//! Gimelshein 2018, Dao et al. 2022). Backward keeps y and the logarithm of each row's sum, and forms
//! the tiles again. On devices that list cooperative matrices of `f16` these multiply the tiles, forward
//! and backward; weights are then rounded to `f16`, each row relative to its largest, sums are `f32`.

mod cache;
mod kernels;
#[cfg(test)]
mod tests;

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Mode, Op, Precision, Tensor},
    kernel::Target,
};
use smallvec::SmallVec;

/// The options of [`Tensor::attention`].
///
/// ```
/// use wgrad::{ops::Attention, prelude::*};
///
/// let graph = Graph::new(Mode::Infer);
/// let [q, k, v] = ["q", "k", "v"].map(|name| graph.input(name, [2, 8, 100, 64]));
/// let lengths = graph.input_of("lengths", [2], DType::U32);
/// let y = q.attention(&k, &v, Attention::causal().lengths(&lengths));
/// assert_eq!(y.shape(), [2, 8, 100, 64].into());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attention {
    /// Whether query i sees only keys j ≤ i.
    pub causal: bool,
    /// Whether a causal mask lets the last query, and not the first, stand beside the last key, and not
    /// the first: query i of Tq then sees keys j ≤ i + length − Tq. For queries that continue a cache.
    pub from_end: bool,
    /// `u32`, 0 where a query does not see a key; broadcasts to [B, H, Tq, Tk].
    pub mask: Option<Tensor>,
    /// Added to the scaled scores; broadcasts to [B, H, Tq, Tk].
    pub bias: Option<Tensor>,
    /// `u32`, `[B]`: how many keys of each batch there are (all, where it says more), the rest is padding.
    /// Read on the GPU.
    pub lengths: Option<Tensor>,
    /// What scores are multiplied by; 1/√D if not said.
    pub scale: Option<f32>,
    /// The probability that a weight is dropped in a training graph.
    pub dropout: f32,
    /// Whether tensors are [B, T, H, D], as a linear layer makes them, and not [B, H, T, D].
    pub heads_last: bool,
}

impl Attention {
    /// Query i sees keys j ≤ i.
    pub fn causal() -> Attention {
        Attention { causal: true, ..Attention::default() }
    }

    /// The same with the last query beside the last key.
    pub fn from_end(self) -> Attention {
        Attention { from_end: true, ..self }
    }

    /// The same with a mask: 0 where a query does not see a key.
    pub fn mask(self, mask: &Tensor) -> Attention {
        Attention { mask: Some(mask.clone()), ..self }
    }

    /// The same with numbers added to the scaled scores.
    pub fn bias(self, bias: &Tensor) -> Attention {
        Attention { bias: Some(bias.clone()), ..self }
    }

    /// The same with the number of keys of each batch.
    pub fn lengths(self, lengths: &Tensor) -> Attention {
        Attention { lengths: Some(lengths.clone()), ..self }
    }

    /// The same with another factor of the scores.
    pub fn scale(self, scale: f32) -> Attention {
        Attention { scale: Some(scale), ..self }
    }

    /// The same with dropout of the weights in training graphs.
    pub fn dropout(self, probability: f32) -> Attention {
        Attention { dropout: probability, ..self }
    }

    /// The same for tensors [B, T, H, D].
    pub fn heads_last(self) -> Attention {
        Attention { heads_last: true, ..self }
    }
}

/// Where the numbers lie that kernels read from one buffer of words: the seed and the step of dropout,
/// the lengths, and the mask with its strides.
#[derive(Clone, Copy, Debug, Default)]
struct Words {
    seed: usize,
    lengths: Option<usize>,
    mask: Option<(usize, [usize; 4])>,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Forward,
    /// The gradient of q.
    Queries,
    /// The gradients of k and v.
    KeysAndValues,
    Bias,
}

/// Inputs q, k, v, backward dy, then the bias and the words if there are any.
#[derive(Clone, Debug)]
struct Attend {
    pass: Pass,
    causal: bool,
    from_end: bool,
    heads_last: bool,
    scale: f32,
    dropout: f32,
    stream: u32,
    bias: bool,
    words: Option<Words>,
    /// All batches and all heads of q, of which dispatches may have a part.
    batches: usize,
    heads: usize,
}

/// [B, H, T, D], whatever the order in memory.
fn sizes(shape: &[usize], heads_last: bool) -> [usize; 4] {
    if heads_last { [shape[0], shape[2], shape[1], shape[3]] } else { [shape[0], shape[1], shape[2], shape[3]] }
}

impl Attend {
    /// The input that is dy in backward passes, and the bias.
    fn bias_input(&self) -> usize {
        if self.pass == Pass::Forward { 3 } else { 4 }
    }

    fn words_input(&self) -> usize {
        self.bias_input() + usize::from(self.bias)
    }

    fn of(&self, pass: Pass) -> Attend {
        Attend { pass, ..self.clone() }
    }

    /// Along how many of the first dimensions each input is cut: batches, and heads where each has its own keys.
    fn along(&self, inputs: &[TensorDesc], bias: usize) -> Vec<usize> {
        let own = !self.heads_last && inputs[0].shape[1] == inputs[1].shape[1];
        let all = 1 + usize::from(own);
        let of_bias = self.bias.then_some(self.bias_input());
        let of = |i: usize| if i < self.bias_input() { all } else if of_bias == Some(i) { bias.min(all) } else { 0 };
        (0..inputs.len()).map(of).collect()
    }

    /// The same of the bias: none where it has one number for all of the batches, or of the heads of the only one.
    fn along_bias(&self, inputs: &[TensorDesc]) -> usize {
        let dim = usize::from(inputs[0].shape[0] == 1);
        if self.bias && inputs[self.bias_input()].shape[dim] > 1 { 2 } else { 0 }
    }
}

impl Op for Attend {
    fn name(&self) -> &'static str {
        if self.pass == Pass::Forward { "attention" } else { "attention_grad" }
    }

    fn outputs(&self) -> usize {
        if matches!(self.pass, Pass::Forward | Pass::KeysAndValues) { 2 } else { 1 }
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i].clone());
        Ok(match self.pass {
            Pass::Forward => {
                let [batches, heads, queries, _] = sizes(&q.shape, self.heads_last);
                let y = TensorDesc::new(q.shape.with(3, v.shape[3]), q.dtype);
                vec![y, TensorDesc::new([batches, heads, queries], DType::F32)]
            }
            Pass::Queries => vec![q],
            Pass::KeysAndValues => vec![k, v],
            Pass::Bias => vec![inputs[self.bias_input()].clone()],
        })
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let bias = self.along_bias(inputs);
        (self.pass != Pass::Bias || bias > 0).then(|| self.along(inputs, bias))
    }

    fn summed(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.pass == Pass::Bias && self.along_bias(inputs) == 0).then(|| self.along(inputs, 0))
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.dispatch(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        if self.pass != Pass::Forward {
            return Gradients::none();
        }
        let graph = at.x(0).graph();
        let dy = at.dy(0);
        let words = self.words.map(|_| at.x(self.words_input()));
        let mut inputs = vec![&dy, at.y(0), at.y(1)];
        inputs.extend(words);
        let delta = graph.apply1(kernels::Delta { heads_last: self.heads_last }, &inputs);

        let mut inputs = vec![at.x(0), at.x(1), at.x(2), &dy];
        inputs.extend(self.bias.then(|| at.x(3)));
        inputs.push(&delta);
        let gradient = |pass| graph.apply(self.of(pass), &inputs).into_iter();
        let of_q = at.needs(0).then(|| gradient(Pass::Queries).next()).flatten();
        let (mut of_k, mut of_v) = (None, None);
        if at.needs(1) || at.needs(2) {
            let mut both = gradient(Pass::KeysAndValues);
            (of_k, of_v) = (both.next(), both.next());
        }
        let mut all = vec![of_q, of_k, of_v];
        if self.bias {
            all.push(at.needs(3).then(|| gradient(Pass::Bias).next()).flatten());
        }
        all.extend(words.map(|_| None));
        Gradients::of(all)
    }
}

impl Tensor {
    /// softmax(scale·q·kᵀ + bias)·v, `torch.nn.functional.scaled_dot_product_attention` (Vaswani et al. 2017).
    ///
    /// q `[B, H, Tq, D]`, k `[B, Hkv, Tk, D]` and v `[B, Hkv, Tk, Dv]` give `[B, H, Tq, Dv]`. H is a multiple
    /// of Hkv: each head of k and v serves H/Hkv neighbouring heads of q. All three may be `[B, T, D]` or
    /// `[T, D]`; masks and biases then have as many dimensions fewer. A query that sees no key gets zeros,
    /// and no gradient flows through it. Memory is linear in Tq and Tk.
    ///
    /// # Gradient
    /// Flows to q, k, v and the bias; not into mask and lengths. A second gradient is an error that names
    /// `attention_grad`.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not fit, a mask or lengths that are not `u32`, mixed element
    /// types, a dropout probability outside 0..=1. In planning: more keys than a thread of a software
    /// driver can go through (about fifty thousand); a mask larger than one binding; one batch larger than one
    /// binding where heads are last or share keys.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, options: Attention) -> Tensor {
        let graph = self.graph();
        let given = [Some(self), Some(k), Some(v), options.mask.as_ref(), options.bias.as_ref(), options.lengths.as_ref()];
        if given.into_iter().flatten().any(Tensor::is_failed) {
            return graph.failed();
        }
        let checked = match Checked::new(self, k, v, &options) {
            Ok(checked) => checked,
            Err(misfit) => {
                graph.fail(misfit.of("attention"));
                return graph.failed();
            }
        };
        let [q, k, v] = [self, k, v].map(|x| whole_vectors(x.reshape(four(&x.shape(), x.rank()))));

        let mut words = Words::default();
        let mut pieces: Vec<Tensor> = Vec::new();
        let mut count = 0;
        let mut add = |piece: Tensor| {
            let start = count;
            count += piece.shape().numel();
            pieces.push(piece.reshape([piece.shape().numel()]));
            start
        };
        let drops = options.dropout > 0.0 && graph.mode() == Mode::Train;
        if drops {
            let ([low, high], step) = (graph.seed(), graph.step());
            words.seed = add(low);
            add(high);
            add(step);
        }
        words.lengths = options.lengths.clone().map(&mut add);
        words.mask = options.mask.clone().map(|mask| (add(mask), checked.mask_steps));
        let words_tensor = match &pieces[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(Tensor::concat(&several.iter().collect::<Vec<_>>(), 0)),
        };
        let bias = options.bias.as_ref().map(|bias| {
            let bias = bias.reshape(&checked.bias);
            // A number for all keys of a row changes nothing, but the gradient needs its place.
            bias.expand(checked.bias.with(3, checked.keys))
        });

        let op = Attend {
            pass: Pass::Forward,
            causal: options.causal,
            from_end: options.causal && options.from_end,
            heads_last: options.heads_last,
            scale: options.scale.unwrap_or(1.0 / (checked.width as f32).sqrt()),
            dropout: if drops { options.dropout } else { 0.0 },
            stream: if drops { graph.next_stream() } else { 0 },
            bias: bias.is_some(),
            words: words_tensor.is_some().then_some(words),
            batches: q.size(0),
            heads: q.size(if options.heads_last { 2 } else { 1 }),
        };
        let inputs: SmallVec<[&Tensor; 5]> = [&q, &k, &v].into_iter().chain(&bias).chain(&words_tensor).collect();
        let y = graph.apply(op, &inputs).swap_remove(0).slice(3, 0..checked.value_width);
        y.reshape(self.shape().with(self.rank() - 1, checked.value_width))
    }
}

/// The rows with zeros behind them up to a multiple of four numbers, which change no score.
#[track_caller]
fn whole_vectors(x: Tensor) -> Tensor {
    let shape = x.shape();
    let missing = shape[3].next_multiple_of(4) - shape[3];
    if missing == 0 {
        return x;
    }
    Tensor::concat(&[&x, &x.graph().full(shape.with(3, missing), 0.0, x.dtype())], 3)
}

/// A shape as [B, H, T, D]: missing heads and batches are 1. `rank` is that of q.
fn four(shape: &[usize], rank: usize) -> Shape {
    let mut full: SmallVec<[usize; 6]> = SmallVec::from_elem(1, rank - shape.len());
    full.extend_from_slice(shape);
    while full.len() < 4 {
        full.insert(full.len() - 2, 1);
    }
    Shape::from(&full[..])
}

/// What the shape rule finds.
struct Checked {
    keys: usize,
    width: usize,
    value_width: usize,
    mask_steps: [usize; 4],
    bias: Shape,
}

impl Checked {
    fn new(q: &Tensor, k: &Tensor, v: &Tensor, options: &Attention) -> Result<Checked, Misfit> {
        let [q, k, v] = [q, k, v].map(Tensor::desc);
        if !q.dtype.is_float() || q.dtype != k.dtype || q.dtype != v.dtype {
            return Err(Misfit::dtype(format!("needs q, k and v of one floating point type, not {q}, {k} and {v}")));
        }
        let rank = q.shape.rank();
        let misfit = || Misfit::shape(format!("q {}, k {} and v {} do not fit", q.shape, k.shape, v.shape));
        let ranks = if options.heads_last { 4..=4 } else { 2..=4 };
        if !ranks.contains(&rank) {
            let wanted = if options.heads_last { "[B, T, H, D]" } else { "[B, H, T, D], [B, T, D] or [T, D]" };
            return Err(Misfit::shape(format!("needs q {wanted}, not {}", q.shape)));
        }
        if k.shape.rank() != rank || v.shape.rank() != rank {
            return Err(misfit());
        }
        let [[batches, heads, queries, width], k, v] =
            [&q, &k, &v].map(|x| sizes(&four(&x.shape, rank), options.heads_last));
        let shared = heads == k[1] || (k[1] > 0 && heads.is_multiple_of(k[1]));
        if width == 0 || v[3] == 0 || k[3] != width || k[..3] != v[..3] || k[0] != batches || !shared {
            return Err(misfit());
        }
        let keys = k[2];
        // The scores that masks and biases broadcast to, and how a shape that is given lies among them.
        let scores = [batches, heads, queries, keys];
        let among = |what: &str, desc: &TensorDesc| {
            let fits = desc.shape.rank() <= rank.max(2);
            let shape = if fits { four(&desc.shape, rank) } else { desc.shape.clone() };
            if fits && shape.iter().zip(scores).all(|(&size, of)| size == of || size == 1) {
                return Ok(shape);
            }
            Err(Misfit::shape(format!("{what} {} does not broadcast to {}", desc.shape, Shape::from(scores))))
        };
        let mut mask_steps = [0; 4];
        if let Some(mask) = options.mask.as_ref().map(Tensor::desc) {
            if mask.dtype != DType::U32 {
                return Err(Misfit::dtype(format!("a mask is u32, not {mask}; numbers to add are a bias")));
            }
            let strides = among("mask", &mask)?.broadcast_strides(&scores.into());
            mask_steps.iter_mut().zip(strides).for_each(|(step, stride)| *step = stride);
        }
        let mut bias = Shape::from([1; 4]);
        if let Some(desc) = options.bias.as_ref().map(Tensor::desc) {
            if desc.dtype != q.dtype {
                return Err(Misfit::dtype(format!("the bias {desc} is not {} as q is", q.dtype)));
            }
            bias = among("bias", &desc)?;
        }
        if let Some(lengths) = options.lengths.as_ref().map(Tensor::desc)
            && lengths != TensorDesc::new([batches], DType::U32)
        {
            return Err(Misfit::shape(format!("lengths are {}, not {lengths}", TensorDesc::new([batches], DType::U32))));
        }
        if !(0.0..=1.0).contains(&options.dropout) {
            return Err(Misfit::shape(format!("probability {} is not from 0 to 1", options.dropout)));
        }
        Ok(Checked { keys, width, value_width: v[3], mask_steps, bias })
    }
}
