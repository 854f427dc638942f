//! batch_norm: y = γ·(x − mean)/√(variance + ε) + β for each channel (Ioffe, Szegedy 2015).

use super::moments::{Over, Statistics};
use crate::{
    data::DType,
    error::Misfit,
    graph::{Mode, Tensor},
};

/// Batch normalisation with its options: `torch.nn.functional.batch_norm`.
///
/// ```
/// # use wgrad::{ops::BatchNorm, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let x = graph.input("x", [8, 3, 32, 32]);
/// let statistics = TensorDesc::new([3], DType::F32);
/// let mean = graph.state("running_mean", statistics.clone(), Init::zeros());
/// let variance = graph.state("running_var", statistics, Init::ones());
/// let y = BatchNorm::new().training(true).momentum(0.1).apply(&x, Some([&mean, &variance]), None, None);
/// assert_eq!(y.shape(), x.shape());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Whether the batch's own statistics are used, and the running ones updated; if not, the running ones.
    pub training: bool,
    /// The part of the batch's statistics in the new running ones; 0.1 if not said.
    pub momentum: f32,
    /// The number added to the variance; 1e-5 if not said.
    pub eps: f32,
}

impl Default for BatchNorm {
    fn default() -> BatchNorm {
        BatchNorm { training: false, momentum: 0.1, eps: 1e-5 }
    }
}

impl BatchNorm {
    /// For use, with momentum 0.1 and ε 1e-5.
    pub fn new() -> BatchNorm {
        BatchNorm::default()
    }

    /// Whether the batch's own statistics are used, and the running ones updated.
    pub fn training(self, training: bool) -> BatchNorm {
        BatchNorm { training, ..self }
    }

    /// The part of the batch's statistics in the new running ones.
    pub fn momentum(self, momentum: f32) -> BatchNorm {
        BatchNorm { momentum, ..self }
    }

    /// The number added to the variance.
    pub fn eps(self, eps: f32) -> BatchNorm {
        BatchNorm { eps, ..self }
    }

    /// Normalises `x [N, C, d…]`, any number of dimensions from 2 on, to `[N, C, d…]`.
    ///
    /// `running` is the mean and the variance `[C]`, `f32`. In training they are replaced in place, on
    /// the device, by (1 − momentum)·running + momentum·batch with the unbiased variance of the batch;
    /// without them the batch's own statistics are used always. `weight` (γ) and `bias` (β) are `[C]`, of
    /// either floating point type; without them they are 1 and 0. The batch's statistics are computed from
    /// differences within a channel, so channels far from zero lose no accuracy.
    ///
    /// # Gradient
    /// Of x, weight and bias, of any order; through the batch's statistics in training. None through the
    /// update of the running ones.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions; statistics, weight or bias that are not `[C]`; in
    /// training, a single element for each channel. The same running statistics updated twice in a graph
    /// are an error of planning.
    #[track_caller]
    pub fn apply(
        &self,
        x: &Tensor,
        running: Option<[&Tensor; 2]>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Tensor {
        self.apply_with(x, running, weight, bias, None)
    }

    /// [`apply`](BatchNorm::apply) with a momentum that is computed on the device, an `f32` scalar.
    #[track_caller]
    pub(crate) fn apply_with(
        &self,
        x: &Tensor,
        running: Option<[&Tensor; 2]>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        momentum: Option<&Tensor>,
    ) -> Tensor {
        let graph = x.graph();
        let [mean, variance] = running.map_or([None, None], |running| running.map(Some));
        let named = [("running mean", mean), ("running variance", variance), ("weight", weight), ("bias", bias)];
        if named.iter().any(|(_, tensor)| tensor.is_some_and(Tensor::is_failed)) || x.is_failed() {
            return graph.failed();
        }
        let own = self.training || running.is_none();
        if let Err(misfit) = fits(x, &named, own) {
            graph.fail(misfit.of("batch_norm"));
            return graph.failed();
        }
        let shape = x.shape();
        let over = Over::dims((0..shape.rank()).map(|d| d != 1));
        let statistics = if own {
            x.moments(&over)
        } else {
            let [center, variance] = [mean, variance].map(|tensor| tensor.map_or_else(|| graph.failed(), Tensor::clone));
            Statistics { center, rest: None, variance }
        };
        if let (true, Some([mean, variance])) = (self.training, running) {
            let n = over.count(&shape) as f32;
            for (running, batch, scale) in
                [(mean, &statistics.center, 1.0), (variance, &statistics.variance, n / (n - 1.0))]
            {
                let batch = batch.detach().reshape(running.shape());
                let new = match momentum {
                    Some(momentum) => running + (batch * scale - running) * momentum,
                    None => running * (1.0 - self.momentum) + batch * (scale * self.momentum),
                };
                graph.assign(running, &new);
            }
        }
        statistics.normalise(x, &over.layout(&shape), self.eps, weight, bias)
    }
}

impl Tensor {
    /// γ·(x − mean)/√(variance + ε) + β of `[N, C, d…]` for each channel:
    /// `torch.nn.functional.batch_norm` (Ioffe, Szegedy 2015). [`BatchNorm`] has the options.
    ///
    /// A training graph takes the batch's mean and variance and updates the `running` ones in place, others
    /// take the running ones; ε is 1e-5, the momentum 0.1.
    ///
    /// # Gradient
    /// Of x, weight and bias, of any order.
    ///
    /// # Errors
    /// As [`BatchNorm::apply`].
    #[track_caller]
    pub fn batch_norm(
        &self,
        running: Option<[&Tensor; 2]>,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Tensor {
        BatchNorm::new().training(self.graph().mode() == Mode::Train).apply(self, running, weight, bias)
    }
}

/// Why `[N, C, d…]` and tensors `[C]` do not fit each other.
pub(super) fn channels_fit(x: &Tensor, named: &[(&str, Option<&Tensor>)]) -> Result<(), Misfit> {
    let x = x.desc();
    if !x.dtype.is_float() {
        return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
    }
    if x.shape.rank() < 2 {
        return Err(Misfit::shape(format!("needs dimensions [N, C, ...], not shape {}", x.shape)));
    }
    for (name, tensor) in named.iter().filter_map(|(name, tensor)| Some((name, (*tensor)?.desc()))) {
        if tensor.shape[..] != [x.shape[1]] {
            return Err(Misfit::shape(format!("{name} {} does not fit the channels of {}", tensor.shape, x.shape)));
        }
        if !tensor.dtype.is_float() {
            return Err(Misfit::dtype(format!("{name} must be floating point numbers, not {tensor}")));
        }
    }
    Ok(())
}

fn fits(x: &Tensor, named: &[(&str, Option<&Tensor>)], own: bool) -> Result<(), Misfit> {
    channels_fit(x, named)?;
    for (name, tensor) in named[..2].iter().filter_map(|(name, tensor)| Some((name, (*tensor)?.desc()))) {
        if tensor.dtype != DType::F32 {
            return Err(Misfit::dtype(format!("{name} must be f32, not {tensor}")));
        }
    }
    let shape = x.shape();
    if own && shape.numel() != 0 && shape.numel() == shape[1] {
        return Err(Misfit::shape(format!("the statistics of shape {shape} would be of one number for each channel")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::BatchNorm;
    use crate::{
        ops::rows::random_shapes,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    /// The definition for each channel of `[N, C, d…]`.
    fn batch_norm(x: &Numbers, weight: &Numbers, bias: &Numbers) -> Numbers {
        let (channels, inner) = (x.shape()[1], x.shape()[2..].iter().product::<usize>());
        let of = |c: usize| x.data().iter().enumerate().filter(move |(i, _)| i / inner % channels == c).map(|(_, x)| x);
        let n = (x.data().len() / channels) as f64;
        let statistics: Vec<(f64, f64)> = (0..channels)
            .map(|c| {
                let mean = of(c).sum::<f64>() / n;
                (mean, of(c).map(|x| (x - mean).powi(2)).sum::<f64>() / n)
            })
            .collect();
        let data = x.data().iter().enumerate().map(|(i, x)| {
            let c = i / inner % channels;
            let (mean, variance) = statistics[c];
            weight.data()[c] * (x - mean) / (variance + 1e-5).sqrt() + bias.data()[c]
        });
        Numbers::new(x.shape(), data.collect())
    }

    fn op([x, weight, bias]: [Tensor; 3]) -> Tensor {
        BatchNorm::new().training(true).apply(&x, None, Some(&weight), Some(&bias))
    }

    #[test]
    fn it_matches_its_definition() {
        Check::new(op, |[x, w, b]| batch_norm(&x, &w, &b))
            .shapes([&[4, 3][..], &[3], &[3]])
            .shapes([&[2, 3, 5][..], &[3], &[3]])
            .shapes([&[3, 4, 2, 2][..], &[4], &[4]])
            .shapes([&[2, 1, 3, 3, 2][..], &[1], &[1]])
            .shapes([&[300, 33][..], &[33], &[33]])
            .shapes([&[1, 5, 9, 7][..], &[5], &[5]])
            .run();
    }

    #[test]
    fn shapes_drawn_at_random() {
        for shape in random_shapes(3, 16, 2..6, 7) {
            if shape.numel() == shape[1] {
                continue;
            }
            let channels = [shape[1]];
            Check::new(op, |[x, w, b]| batch_norm(&x, &w, &b))
                .shapes([&shape[..], &channels, &channels])
                .tolerance(1e-4)
                .run();
        }
    }

    #[test]
    fn running_statistics_take_the_place_of_the_batchs() {
        Check::new(
            |[x, mean, deviation]: [Tensor; 3]| {
                let [mean, variance] = [mean, deviation.square() + 0.5].map(|tensor| tensor.cast(DType::F32));
                BatchNorm::new().apply(&x, Some([&mean, &variance]), None, None)
            },
            |[x, mean, deviation]| {
                let [mean, deviation] = [mean, deviation].map(|numbers| numbers.reshape([3, 1]));
                x.zip(&mean, |x, m| x - m).zip(&deviation, |x, d| x / (d * d + 0.5 + 1e-5).sqrt())
            },
        )
        .shapes([&[2, 3, 5][..], &[3], &[3]])
        .shapes([&[1, 3, 1][..], &[3], &[3]])
        .run();
    }

    #[test]
    fn nothing_is_normalised_to_nothing() {
        let graph = Graph::new(Mode::Train);
        let y = graph.input("x", [0, 3, 4]).batch_norm(None, None, None);
        let found = run(&graph, &[("y", &y)], &[("x", Array::from_f32([0, 3, 4], &[]).unwrap())]).unwrap();
        assert_eq!(*found[0].shape(), Shape::from([0, 3, 4]));
        let graph = Graph::new(Mode::Train);
        let y = graph.input("x", [2, 0, 4]).batch_norm(None, None, None);
        assert_eq!(*run(&graph, &[("y", &y)], &[]).unwrap()[0].shape(), Shape::from([2, 0, 4]));
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |shape: &[usize], mistake: &dyn Fn(&Tensor)| {
            let graph = Graph::new(Mode::Train);
            mistake(&graph.input("x", shape));
            graph.check().unwrap_err().message().to_owned()
        };
        let plain = |x: &Tensor| drop(x.batch_norm(None, None, None));
        assert_eq!(message(&[3], &plain), "batch_norm: needs dimensions [N, C, ...], not shape [3]");
        assert_eq!(
            message(&[1, 3, 1], &plain),
            "batch_norm: the statistics of shape [1, 3, 1] would be of one number for each channel"
        );
        let weight = |x: &Tensor| drop(x.batch_norm(None, Some(&x.graph().input("w", [2])), None));
        assert_eq!(message(&[4, 3], &weight), "batch_norm: weight [2] does not fit the channels of [4, 3]");
        let half = |x: &Tensor| {
            let running = ["m", "v"].map(|name| x.graph().input_of(name, [3], DType::F16));
            x.batch_norm(Some([&running[0], &running[1]]), None, None);
        };
        assert_eq!(message(&[4, 3], &half), "batch_norm: running mean must be f32, not f16[3]");
    }

    #[test]
    fn several_parts_of_each_channel() {
        Check::new(op, |[x, w, b]| batch_norm(&x, &w, &b))
            .shapes([&[3, 2, 50, 47][..], &[2], &[2]])
            .shapes([&[2100, 5][..], &[5], &[5]])
            .shapes([&[2, 2, 9000][..], &[2], &[2]])
            .tolerance(4e-5)
            .run();
    }

    #[test]
    fn channels_far_from_zero_lose_nothing() {
        Check::new(op, |[x, w, b]| batch_norm(&x, &w, &b))
            .shapes([&[3, 4, 5, 5][..], &[4], &[4]])
            .shapes([&[64, 7][..], &[7], &[7]])
            .shapes([&[2, 3, 5000][..], &[3], &[3]])
            .range(1e4 - 0.02, 1e4 + 0.02)
            .tolerance(4e-5)
            .no_half()
            .run();
    }
}
