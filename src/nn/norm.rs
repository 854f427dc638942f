//! Normalisation layers.

use super::Layer;
use crate::{
    data::{DType, TensorDesc},
    error::Place,
    graph::{Init, Mode, Tensor},
    ops,
};

/// γ⊙(x − mean)/√(variance + ε) + β over the last dimension (Ba et al. 2016), `torch.nn.LayerNorm`:
/// see [`layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    eps: f32,
    affine: bool,
    bias: bool,
    place: Place,
}

/// `[…, width]` → `[…, width]`; parameters `weight [width]` = 1 and `bias [width]` = 0, ε = 1e-5.
#[track_caller]
pub fn layer_norm() -> LayerNorm {
    LayerNorm { eps: 1e-5, affine: true, bias: true, place: Place::here() }
}

impl LayerNorm {
    /// The number added to the variance.
    pub fn eps(self, eps: f32) -> LayerNorm {
        LayerNorm { eps, ..self }
    }

    /// Whether there are parameters; there are if not said.
    pub fn affine(self, affine: bool) -> LayerNorm {
        LayerNorm { affine, ..self }
    }

    /// Whether there is a bias; there is one if not said.
    pub fn bias(self, bias: bool) -> LayerNorm {
        LayerNorm { bias, ..self }
    }
}

impl Layer for LayerNorm {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let [weight, bias] = parameters(x, -1, [self.affine, self.affine && self.bias]);
            x.layer_norm(weight.as_ref(), bias.as_ref(), self.eps)
        })
    }
}

/// γ⊙x/√(mean x² + ε) over the last dimension (Zhang, Sennrich 2019), `torch.nn.RMSNorm`: see [`rms_norm`].
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    eps: f32,
    affine: bool,
    place: Place,
}

/// `[…, width]` → `[…, width]`; parameter `weight [width]` = 1, ε = 1e-6.
#[track_caller]
pub fn rms_norm() -> RmsNorm {
    RmsNorm { eps: 1e-6, affine: true, place: Place::here() }
}

impl RmsNorm {
    /// The number added to the mean of the squares.
    pub fn eps(self, eps: f32) -> RmsNorm {
        RmsNorm { eps, ..self }
    }

    /// Whether there is a weight; there is one if not said.
    pub fn affine(self, affine: bool) -> RmsNorm {
        RmsNorm { affine, ..self }
    }
}

impl Layer for RmsNorm {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let [weight, _] = parameters(x, -1, [self.affine, false]);
            x.rms_norm(weight.as_ref(), self.eps)
        })
    }
}

/// γ⊙(x − mean)/√(variance + ε) + β for each channel (Ioffe, Szegedy 2015), `torch.nn.BatchNorm1d`, `2d` and
/// `3d`: see [`batch_norm`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    options: ops::BatchNorm,
    affine: bool,
    tracked: bool,
    cumulative: bool,
    place: Place,
}

/// `[N, C, d…]` → `[N, C, d…]`, any number of dimensions from 2 on.
///
/// Parameters `weight [C]` = 1 and `bias [C]` = 0; state `running_mean [C]` = 0, `running_var [C]` = 1 and the
/// counter `num_batches_tracked`. A training graph normalises with the batch's own statistics and updates
/// the running ones with momentum 0.1; others use the running ones. ε = 1e-5.
#[track_caller]
pub fn batch_norm() -> BatchNorm {
    let (options, place) = (ops::BatchNorm::new(), Place::here());
    BatchNorm { options, affine: true, tracked: true, cumulative: false, place }
}

impl BatchNorm {
    /// The number added to the variance.
    pub fn eps(self, eps: f32) -> BatchNorm {
        BatchNorm { options: self.options.eps(eps), ..self }
    }

    /// The part of the batch's statistics in the new running ones.
    pub fn momentum(self, momentum: f32) -> BatchNorm {
        BatchNorm { options: self.options.momentum(momentum), ..self }
    }

    /// Running statistics that are the mean of those of all batches: PyTorch's `momentum=None`.
    pub fn cumulative(self) -> BatchNorm {
        BatchNorm { cumulative: true, ..self }
    }

    /// Whether there are running statistics, as there are if not said. Without them there is no state, and every graph
    /// takes the batch's own: PyTorch's `track_running_stats=False`.
    pub fn tracked(self, tracked: bool) -> BatchNorm {
        BatchNorm { tracked, ..self }
    }

    /// Whether there are parameters; there are if not said.
    pub fn affine(self, affine: bool) -> BatchNorm {
        BatchNorm { affine, ..self }
    }
}

impl Layer for BatchNorm {
    fn apply(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            let training = graph.mode() == Mode::Train;
            let [weight, bias] = parameters(x, 1, [self.affine; 2]);
            if !self.tracked {
                return self.options.training(training).apply(x, None, weight.as_ref(), bias.as_ref());
            }
            let statistics = TensorDesc::new([x.size(1)], DType::F32);
            let mean = graph.state("running_mean", statistics.clone(), Init::zeros());
            let variance = graph.state("running_var", statistics, Init::ones());
            let batches = training.then(|| {
                let scalar = TensorDesc::new([], DType::U32);
                graph.increment(&graph.state("num_batches_tracked", scalar, Init::zeros()))
            });
            let share = batches.filter(|_| self.cumulative).map(|batches| batches.cast(DType::F32).recip());
            let options = self.options.training(training);
            options.apply_with(x, Some([&mean, &variance]), weight.as_ref(), bias.as_ref(), share.as_ref())
        })
    }
}

/// γ⊙(x − mean)/√(variance + ε) + β within groups of channels (Wu, He 2018), `torch.nn.GroupNorm`: see
/// [`group_norm`].
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// The number of groups; one for each channel if not said.
    groups: Option<usize>,
    eps: f32,
    affine: bool,
    place: Place,
}

/// `[N, C, d…]` → `[N, C, d…]`; parameters `weight [C]` = 1 and `bias [C]` = 0, ε = 1e-5.
#[track_caller]
pub fn group_norm(groups: usize) -> GroupNorm {
    GroupNorm { groups: Some(groups), eps: 1e-5, affine: true, place: Place::here() }
}

/// `[N, C, d…]` → `[N, C, d…]`, each channel of each example for itself (Ulyanov et al. 2016),
/// `torch.nn.InstanceNorm1d`, `2d` and `3d`: no parameters if not said, ε = 1e-5.
#[track_caller]
pub fn instance_norm() -> GroupNorm {
    GroupNorm { groups: None, eps: 1e-5, affine: false, place: Place::here() }
}

impl GroupNorm {
    /// The number added to the variance.
    pub fn eps(self, eps: f32) -> GroupNorm {
        GroupNorm { eps, ..self }
    }

    /// Whether there are the parameters `weight [C]` and `bias [C]`.
    pub fn affine(self, affine: bool) -> GroupNorm {
        GroupNorm { affine, ..self }
    }
}

impl Layer for GroupNorm {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let [weight, bias] = parameters(x, 1, [self.affine; 2]);
            match self.groups {
                Some(groups) => x.group_norm(groups, weight.as_ref(), bias.as_ref(), self.eps),
                None => x.instance_norm(weight.as_ref(), bias.as_ref(), self.eps),
            }
        })
    }
}

/// The parameters `weight` = 1 and `bias` = 0 for the elements along a dimension, those that there are.
#[track_caller]
fn parameters(x: &Tensor, dim: isize, there: [bool; 2]) -> [Option<Tensor>; 2] {
    let graph = x.graph();
    let width = x.size(dim);
    let declare = |there: bool, name: &str, init: Init| there.then(|| graph.parameter(name, [width], init));
    [declare(there[0], "weight", Init::ones()), declare(there[1], "bias", Init::zeros())]
}
