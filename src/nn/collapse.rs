//! Collapse: a sequence as one vector.

use super::Layer;
use crate::{
    data::DType,
    error::Place,
    graph::{Init, Tensor},
};

/// `[B, T, E]` → `[B, E]`: see [`first`], [`last`], [`average`] and [`attention`].
#[derive(Clone, Debug)]
pub struct Collapse {
    way: Way,
    lengths: Option<Tensor>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    First,
    Last,
    Average,
    Attention,
}

impl Way {
    #[track_caller]
    fn layer(self) -> Collapse {
        Collapse { way: self, lengths: None, place: Place::here() }
    }
}

/// The first vector, BERT's `[CLS]`.
#[track_caller]
pub fn first() -> Collapse {
    Way::First.layer()
}

/// The last vector, or the one at the end of each sequence's [`lengths`](Collapse::lengths).
#[track_caller]
pub fn last() -> Collapse {
    Way::Last.layer()
}

/// The mean of the vectors within each sequence's length: mean pooling.
#[track_caller]
pub fn average() -> Collapse {
    Way::Average.layer()
}

/// softmax(x·q)ᵀx with a learned `query [E]`, drawn from U(±1/√E).
#[track_caller]
pub fn attention() -> Collapse {
    Way::Attention.layer()
}

impl Collapse {
    /// How many vectors of each sequence count, `u32 [B]`; what follows is padding. A sequence without any
    /// collapses to zeros.
    pub fn lengths(mut self, lengths: &Tensor) -> Collapse {
        self.lengths = Some(lengths.clone());
        self
    }

    /// The numbers 1 to T beside the lengths, as two tensors that broadcast to `[B, T]`.
    fn positions(x: &Tensor, lengths: &Tensor) -> (Tensor, Tensor) {
        let time = x.size(1);
        let numbers = x.graph().arange(1.0, time as f64 + 1.0, 1.0, DType::F32);
        (numbers, lengths.cast(DType::F32).unsqueeze(1))
    }

    fn collapse(&self, x: &Tensor) -> Tensor {
        let Some([_, time, width]) = x.dims("collapse", ["B", "T", "E"]) else { return x.clone() };
        let at = |t: usize| x.slice(1, t..=t).squeeze(1);
        // Weights `[B, T]` as a column for each vector.
        let sum = |weights: &Tensor| (x * weights.cast(x.dtype()).unsqueeze(2)).sum(&[1], false);
        match (self.way, &self.lengths) {
            (Way::First, _) => at(0),
            (Way::Last, None) => at(time.saturating_sub(1)),
            (Way::Last, Some(lengths)) => {
                let (positions, lengths) = Collapse::positions(x, lengths);
                sum(&positions.eq(&lengths))
            }
            (Way::Average, None) => x.mean(&[1], false),
            (Way::Average, Some(lengths)) => {
                let (positions, lengths) = Collapse::positions(x, lengths);
                sum(&positions.le(&lengths)) / lengths.clamp(1.0, f32::MAX).cast(x.dtype())
            }
            (Way::Attention, lengths) => {
                let query = x.graph().parameter("query", [width], Init::fan_in(width));
                let scores = x.cast(DType::F32).matmul(&query);
                match lengths {
                    None => sum(&scores.softmax(-1)),
                    Some(lengths) => {
                        let (positions, lengths) = Collapse::positions(x, lengths);
                        let inside = positions.le(&lengths);
                        sum(&(scores.masked_fill(&inside.logical_not(), f32::MIN).softmax(-1)
                            * inside.cast(DType::F32)))
                    }
                }
            }
        }
    }
}

impl Layer for Collapse {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || self.collapse(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Check, Numbers};

    const LENGTHS: [u32; 3] = [4, 1, 0];

    /// The collapse of `[3, 4, 5]` as weights for each vector.
    fn check(layer: impl Fn() -> Collapse, ragged: bool, weights: impl Fn(usize, usize) -> f64) {
        let op = |[x]: [Tensor; 1]| {
            let lengths = x.graph().input_of("lengths", [3], DType::U32);
            if ragged { layer().lengths(&lengths).apply(&x) } else { layer().apply(&x) }
        };
        let definition = |[x]: [Numbers; 1]| {
            Numbers::from_fn([3, 5], |i| (0..4).map(|t| weights(i[0], t) * x.at(&[i[0], t, i[1]])).sum())
        };
        let check = Check::new(op, definition).shapes([&[3, 4, 5][..]]);
        if ragged { check.index("lengths", [3], &LENGTHS).run() } else { check.run() }
    }

    #[test]
    fn collapses_match_their_definitions() {
        let one = |yes: bool| f64::from(u8::from(yes));
        let length = |b: usize| LENGTHS[b] as usize;
        check(first, false, |_, t| one(t == 0));
        check(last, false, |_, t| one(t == 3));
        check(last, true, |b, t| one(t + 1 == length(b)));
        check(average, false, |_, _| 0.25);
        check(average, true, |b, t| one(t < length(b)) / length(b).max(1) as f64);
    }

    #[test]
    fn attention_weighs_by_a_query() {
        for ragged in [false, true] {
            let op = |[x, query]: [Tensor; 2]| {
                let graph = x.graph();
                let lengths = graph.input_of("lengths", [2], DType::U32);
                let layer = if ragged { attention().lengths(&lengths) } else { attention() };
                // The same sum with the query as an input, so that its gradient is checked too.
                let scores = x.matmul(&query);
                let inside = graph.arange(1.0, 5.0, 1.0, DType::F32).le(&lengths.cast(DType::F32).unsqueeze(1));
                let scores = if ragged {
                    scores.masked_fill(&inside.logical_not(), f32::MIN).softmax(-1)
                } else {
                    scores.softmax(-1)
                };
                assert_eq!(layer.apply(&x).shape(), [2, 3].into());
                (&x * scores.unsqueeze(2)).sum(&[1], false)
            };
            let definition = |[x, query]: [Numbers; 2]| {
                Numbers::from_fn([2, 3], |i| {
                    let count = if ragged { [4, 2][i[0]] } else { 4 };
                    let score = |t: usize| (0..3).map(|e| x.at(&[i[0], t, e]) * query.at(&[e])).sum::<f64>().exp();
                    let total: f64 = (0..count).map(score).sum();
                    (0..count).map(|t| score(t) / total * x.at(&[i[0], t, i[1]])).sum()
                })
            };
            let check = Check::new(op, definition).shapes([&[2, 4, 3][..], &[3]]).no_half();
            if ragged { check.index("lengths", [2], &[4, 2]).run() } else { check.run() }
        }
    }
}
