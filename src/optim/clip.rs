//! Clipping by the norm of all gradients together.

use crate::{data::DType, graph::Tensor};

/// The gradients in `f32`, scaled so that the Euclidean norm of all together is at most `most`:
/// `torch.nn.utils.clip_grad_norm_`.
#[track_caller]
pub(super) fn clip_norm<'a>(gradients: impl IntoIterator<Item = &'a Tensor>, most: f64) -> Vec<Tensor> {
    let gradients: Vec<Tensor> = gradients.into_iter().map(|gradient| gradient.cast(DType::F32)).collect();
    let squares = gradients.iter().map(|gradient| gradient.sum_squares());
    let Some(sum) = squares.reduce(|sum, square| sum.add(&square)) else { return gradients };
    let factor = sum.clip_factor(most);
    gradients.iter().map(|gradient| gradient.mul(&factor)).collect()
}

#[cfg(test)]
mod tests {
    use super::clip_norm;
    use crate::{
        data::Array,
        graph::{Graph, Mode},
        testing::run,
    };

    fn clipped(a: &[f32], b: &[f32], most: f64) -> Vec<f32> {
        let graph = Graph::new(Mode::Infer);
        let gradients = [graph.input("a", [a.len()]), graph.input("b", [b.len()])];
        let out = clip_norm(&gradients, most);
        let inputs = [("a", Array::from_f32([a.len()], a).unwrap()), ("b", Array::from_f32([b.len()], b).unwrap())];
        let out = run(&graph, &[("a", &out[0]), ("b", &out[1])], &inputs).unwrap();
        out.iter().flat_map(Array::to_f32).collect()
    }

    #[test]
    fn the_norm_of_all_gradients_is_bounded() {
        for (found, expected) in clipped(&[3.0], &[4.0, 0.0], 1.0).iter().zip([0.6, 0.8, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn small_gradients_stay_as_they_are() {
        assert_eq!(clipped(&[0.3], &[-0.4], 1.0), [0.3, -0.4]);
        assert_eq!(clipped(&[0.0], &[0.0], 1.0), [0.0, 0.0]);
    }

    #[test]
    fn a_norm_that_is_no_number_is_not_hidden() {
        assert!(clipped(&[f32::NAN], &[1.0], 1.0).iter().all(|x| x.is_nan()));
        let infinite = clipped(&[f32::INFINITY], &[1.0], 1.0);
        assert!(infinite[0].is_nan() && infinite[1] == 0.0, "{infinite:?}");
    }

    #[test]
    fn a_bound_that_is_not_positive_is_a_mistake() {
        let graph = Graph::new(Mode::Infer);
        clip_norm(&[graph.input("g", [2])], -1.0);
        assert_eq!(graph.check().unwrap_err().message(), "clip_norm: the largest norm must be positive, not -1");
    }
}
