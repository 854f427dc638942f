//! group_norm: y = γ·(x − mean)/√(variance + ε) + β within groups of channels (Wu, He 2018).

use super::{
    batch_norm::{channels_fit, per_channel},
    moments::Over,
};
use crate::{error::Misfit, graph::Tensor};

impl Tensor {
    /// γ·(x − mean)/√(variance + ε) + β of `[N, C, d…]`, with the statistics of each group of C / `groups`
    /// channels of each example: `torch.nn.functional.group_norm` (Wu, He 2018).
    ///
    /// `weight` (γ) and `bias` (β) are `[C]`, of either floating point type; without them they are 1 and 0.
    /// Groups far from zero lose no accuracy: everything is computed from differences within the group.
    ///
    /// # Gradient
    /// Of x, weight and bias, of any order.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions, channels that cannot be divided into the groups,
    /// weight or bias that is not `[C]`.
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        self.normalise_groups("group_norm", groups, weight, bias, eps)
    }

    /// γ·(x − mean)/√(variance + ε) + β of `[N, C, d…]`, with the statistics of each channel of each example:
    /// `torch.nn.functional.instance_norm`. It is [`group_norm`](Tensor::group_norm) with groups of one channel.
    ///
    /// # Gradient
    /// Of x, weight and bias, of any order.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions, weight or bias that is not `[C]`.
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let groups = if self.rank() < 2 { 1 } else { self.size(1) };
        self.normalise_groups("instance_norm", groups, weight, bias, eps)
    }

    #[track_caller]
    fn normalise_groups(
        &self,
        name: &'static str,
        groups: usize,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f32,
    ) -> Tensor {
        let named = [("weight", weight), ("bias", bias)];
        if self.is_failed() || named.iter().any(|(_, tensor)| tensor.is_some_and(Tensor::is_failed)) {
            return self.graph().failed();
        }
        let shape = self.shape();
        let fits = channels_fit(self, &named).and_then(|()| {
            if shape[1] == groups || (groups > 0 && shape[1].is_multiple_of(groups)) {
                return Ok(());
            }
            Err(Misfit::shape(format!("the channels of {shape} cannot be divided into {groups} groups")))
        });
        if let Err(misfit) = fits {
            self.graph().fail(misfit.of(name));
            return self.graph().failed();
        }
        if shape.numel() == 0 {
            return self.clone();
        }
        let over = Over { reduced: (0..shape.rank()).map(|d| d > 1).collect(), groups: Some(groups) };
        let statistics = self.moments(&over).map(|statistic| over.spread(statistic, &shape));
        let [weight, bias] = named.map(|(_, tensor)| tensor.map(|tensor| per_channel(tensor, &shape)));
        statistics.normalise(self, eps, weight.as_ref(), bias.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers},
    };

    fn group_norm(x: &Numbers, groups: usize, weight: &Numbers, bias: &Numbers) -> Numbers {
        let channels = x.shape()[1];
        let n = x.data().len() / (x.shape()[0] * groups);
        let inner = x.data().len() / (x.shape()[0] * channels);
        let groups = x.data().chunks(n).flat_map(|group| {
            let mean = group.iter().sum::<f64>() / n as f64;
            let rstd = 1.0 / (group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64 + 1e-5).sqrt();
            group.iter().map(move |x| (x - mean) * rstd)
        });
        let channel = |i: usize| i / inner % channels;
        let data = groups.enumerate().map(|(i, x)| x * weight.data()[channel(i)] + bias.data()[channel(i)]);
        Numbers::new(x.shape(), data.collect())
    }

    #[test]
    fn it_matches_its_definition() {
        for groups in [1, 2, 6] {
            Check::new(
                |[x, weight, bias]: [Tensor; 3]| x.group_norm(groups, Some(&weight), Some(&bias), 1e-5),
                |[x, weight, bias]| group_norm(&x, groups, &weight, &bias),
            )
            .shapes([&[2, 6, 5][..], &[6], &[6]])
            .shapes([&[3, 6, 2, 3][..], &[6], &[6]])
            .shapes([&[2, 6, 3, 1, 2][..], &[6], &[6]])
            .shapes([&[1, 6, 40, 41][..], &[6], &[6]])
            .run();
        }
        Check::new(
            |[x, weight, bias]: [Tensor; 3]| x.group_norm(2, Some(&weight), Some(&bias), 1e-5),
            |[x, weight, bias]| group_norm(&x, 2, &weight, &bias),
        )
        .shapes([&[70, 8][..], &[8], &[8]])
        .shapes([&[1, 4, 5000][..], &[4], &[4]])
        .run();
    }
}
