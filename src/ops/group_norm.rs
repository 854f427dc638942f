//! group_norm: y = γ·(x − mean)/√(variance + ε) + β within groups of channels (Wu, He 2018).

use super::{batch_norm::channels_fit, moments::Over};
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
        self.moments(&over).normalise(self, &over.layout(&shape), eps, weight, bias)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ops::rows::random_shapes,
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
    fn random_shapes_and_groups() {
        for (i, shape) in random_shapes(5, 16, 2..6, 5).into_iter().enumerate() {
            let groups = 1 + i % 3;
            let channels = [groups * shape[1]];
            let shape = shape.with(1, channels[0]);
            // Groups of one number are 0 whatever it is.
            let plain = shape.numel() == shape[0] * groups;
            let check = Check::new(
                |[x, weight, bias]: [Tensor; 3]| x.group_norm(groups, Some(&weight), Some(&bias), 1e-5),
                |[x, weight, bias]| group_norm(&x, groups, &weight, &bias),
            );
            let check = check.shapes([&shape[..], &channels, &channels]).tolerance(2e-4);
            if plain { check.no_gradient().run() } else { check.run() }
        }
    }

    #[test]
    fn one_channel_for_each_group_is_instance_norm() {
        Check::new(
            |[x, weight, bias]: [Tensor; 3]| x.permute(&[1, 0, 2]).instance_norm(Some(&weight), Some(&bias), 1e-5),
            |[x, weight, bias]| {
                let [c, n, d] = [x.shape()[0], x.shape()[1], x.shape()[2]];
                let moved = Numbers::from_fn([n, c, d], |at| x.at(&[at[1], at[0], at[2]]));
                group_norm(&moved, c, &weight, &bias)
            },
        )
        .shapes([&[3, 2, 7][..], &[3], &[3]])
        .shapes([&[2, 3, 600][..], &[2], &[2]])
        .run();
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |shape: &[usize], mistake: &dyn Fn(&Tensor)| {
            let graph = Graph::new(Mode::Infer);
            mistake(&graph.input("x", shape));
            graph.check().unwrap_err().message().to_owned()
        };
        let groups = |x: &Tensor| drop(x.group_norm(4, None, None, 1e-5));
        let text = "group_norm: the channels of [2, 6, 3] cannot be divided into 4 groups";
        assert_eq!(message(&[2, 6, 3], &groups), text);
        let none = |x: &Tensor| drop(x.group_norm(0, None, None, 1e-5));
        let text = "group_norm: the channels of [2, 6, 3] cannot be divided into 0 groups";
        assert_eq!(message(&[2, 6, 3], &none), text);
        let flat = |x: &Tensor| drop(x.instance_norm(None, None, 1e-5));
        assert_eq!(message(&[6], &flat), "instance_norm: needs dimensions [N, C, ...], not shape [6]");
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
