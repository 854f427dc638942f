//! Positions: where in a sequence a vector stands.

use super::{Continuation, Layer};
use crate::{
    data::DType,
    error::{Misfit, Place},
    graph::{Graph, Init, Tensor},
};

/// Adds a learned vector for each position: see [`learned_positions`].
#[derive(Clone, Debug)]
pub struct LearnedPositions {
    most: usize,
    positions: Option<Tensor>,
    place: Place,
}

/// `x [B, T, E]` plus the first T rows of `weight [most, E]`, drawn from N(0, 0.02²).
#[track_caller]
pub fn learned_positions(most: usize) -> LearnedPositions {
    LearnedPositions { most, positions: None, place: Place::here() }
}

impl LearnedPositions {
    /// Where the vectors stand, `u32 [B, T]`, if not at 0 to T − 1.
    pub fn at<'a>(self, positions: impl Into<Option<&'a Tensor>>) -> LearnedPositions {
        LearnedPositions { positions: positions.into().cloned(), ..self }
    }
}

impl Layer for LearnedPositions {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let Some([_, time, width]) = x.dims("learned_positions", ["B", "T", "E"]) else { return x.clone() };
            let weight = x.graph().parameter("weight", [self.most, width], Init::normal(0.02));
            let continuation = Continuation::of(x.graph());
            if let Some(most) = continuation.as_ref().map(|c| c.cache().most()).filter(|&most| most > self.most) {
                let reason = format!("there are {} positions, the sequences need {most}", self.most);
                x.graph().fail(Misfit::shape(reason).of("learned_positions"));
            }
            let rows = match self.positions.clone().or(continuation.and_then(|c| c.positions(time))) {
                Some(positions) => weight.embedding(&positions),
                None => weight.slice(0, 0..time),
            };
            x + rows.cast(x.dtype())
        })
    }
}

/// Adds sines and cosines of each position: see [`sinusoidal_positions`].
#[derive(Clone, Debug)]
pub struct SinusoidalPositions {
    apart: bool,
    positions: Option<Tensor>,
    place: Place,
}

/// `x [B, T, E]` plus PE(p, 2i) = sin(p/10000^(2i/E)), PE(p, 2i+1) = cos(p/10000^(2i/E)) (Vaswani et al. 2017).
/// E is even.
#[track_caller]
pub fn sinusoidal_positions() -> SinusoidalPositions {
    SinusoidalPositions { apart: false, positions: None, place: Place::here() }
}

impl SinusoidalPositions {
    /// All sines first, then all cosines: Marian's order.
    pub fn sines_first(mut self) -> SinusoidalPositions {
        self.apart = true;
        self
    }

    /// Where the vectors stand, `u32 [B, T]`, if not at 0 to T − 1.
    pub fn at<'a>(self, positions: impl Into<Option<&'a Tensor>>) -> SinusoidalPositions {
        SinusoidalPositions { positions: positions.into().cloned(), ..self }
    }
}

impl Layer for SinusoidalPositions {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let Some([_, time, width]) = x.dims("sinusoidal_positions", ["B", "T", "E"]) else { return x.clone() };
            let continued = || Continuation::of(x.graph())?.positions(time);
            let positions = match self.positions.clone().or_else(continued) {
                Some(positions) => positions.cast(DType::F32),
                None => count(x.graph(), time),
            };
            let angles = angles(&positions, width);
            let (sines, cosines) = (angles.sin(), angles.cos());
            let table = if self.apart {
                Tensor::concat(&[&sines, &cosines], -1)
            } else {
                Tensor::stack(&[&sines, &cosines], -1).flatten(-2, -1)
            };
            x + table.cast(x.dtype())
        })
    }
}

/// 0 to time − 1.
fn count(graph: &Graph, time: usize) -> Tensor {
    graph.arange(0.0, time as f64, 1.0, DType::F32)
}

/// p/10000^(2i/width) for positions p `[…, time]` and pairs i: `[…, time, width/2]`.
fn angles(positions: &Tensor, width: usize) -> Tensor {
    let pairs = width / 2;
    let step = -2.0 / width as f64 * 10_000_f64.ln();
    let rates = positions.graph().arange(0.0, pairs as f64 * step - step / 2.0, step, DType::F32).exp();
    positions.unsqueeze(-1) * rates
}

impl Tensor {
    /// Turns each pair (xᵢ, xᵢ₊D/2) of `[…, T, D]` by the angle p/10000^(2i/D) of its position p: rotary
    /// positions (Su et al. 2021) in the order of Hugging Face's Llama. D is even. No counterpart in PyTorch.
    #[track_caller]
    pub fn rotary(&self) -> Tensor {
        self.rotary_at(&count(self.graph(), self.size(-2)))
    }

    /// [`rotary`](Tensor::rotary) with the position of each vector, `[…, T]`. No counterpart in PyTorch.
    #[track_caller]
    pub fn rotary_at(&self, positions: &Tensor) -> Tensor {
        let width = self.size(-1);
        let angles = angles(&positions.cast(DType::F32), width);
        let (sines, cosines) = (angles.sin().cast(self.dtype()), angles.cos().cast(self.dtype()));
        let (a, b) = (self.slice(-1, 0..width / 2), self.slice(-1, width / 2..width));
        Tensor::concat(&[&(&a * &cosines - &b * &sines), &(&b * &cosines + &a * &sines)], -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Check, Numbers, check_op};

    fn angle(p: usize, i: usize, width: usize) -> f64 {
        p as f64 / 10_000_f64.powf(2.0 * i as f64 / width as f64)
    }

    #[test]
    fn sinusoids_match_their_definition() {
        for width in [2, 6, 64] {
            let size = [1, 40, width];
            check_op(
                [&size[..]],
                |[x]| sinusoidal_positions().apply(&x),
                |[x]| {
                    Numbers::from_fn(size, |k| {
                        let a = angle(k[1], k[2] / 2, width);
                        x.at(k) + if k[2] % 2 == 0 { a.sin() } else { a.cos() }
                    })
                },
            );
            check_op(
                [&size[..]],
                |[x]| sinusoidal_positions().sines_first().apply(&x),
                |[x]| {
                    Numbers::from_fn(size, |k| {
                        let a = angle(k[1], k[2] % (width / 2), width);
                        x.at(k) + if k[2] < width / 2 { a.sin() } else { a.cos() }
                    })
                },
            );
        }
    }

    #[test]
    fn rotary_positions_turn_pairs() {
        let size = [2, 3, 7, 8];
        let definition = |[x]: [Numbers; 1]| {
            Numbers::from_fn(size, |k| {
                let (i, first) = (k[3] % 4, k[3] < 4);
                let (sine, cosine) = angle(k[2], i, 8).sin_cos();
                let other = x.at(&[k[0], k[1], k[2], (k[3] + 4) % 8]);
                x.at(k) * cosine + if first { -other * sine } else { other * sine }
            })
        };
        Check::new(|[x]: [Tensor; 1]| x.rotary(), definition).shapes([&size[..]]).run();
    }

    #[test]
    fn learned_positions_are_rows_of_a_weight() {
        let graph = Graph::new(crate::graph::Mode::Infer);
        let y = learned_positions(9).apply(&graph.input("x", [2, 5, 3]));
        assert_eq!(y.shape(), [2, 5, 3].into());
        assert_eq!(graph.parameters()[0].shape(), [9, 3].into());
        let too_long = Graph::new(crate::graph::Mode::Infer);
        learned_positions(4).apply(&too_long.input("x", [2, 5, 3]));
        assert!(too_long.check().unwrap_err().is_shape());
    }
}
