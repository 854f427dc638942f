//! dropout(x) = 0 with probability p, else x/(1 − p)

use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind, Misfit},
    graph::{Backward, Gradients, Mode, Op, Pointwise, Tensor},
    shader,
};

/// Inputs: x, the two words of the seed, the step. The gradient draws the same numbers again.
#[derive(Clone, Debug)]
struct Dropout {
    probability: f32,
    stream: u32,
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs[0].dtype {
            DType::U32 => Err(Misfit::dtype(format!("needs floating point numbers, not {}", inputs[0]))),
            _ => Ok(vec![inputs[0].clone()]),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        // A whole-number threshold decides the same on every driver.
        let threshold = (f64::from(self.probability) * 4_294_967_296.0) as u32;
        let scale = if self.probability < 1.0 { 1.0 / (1.0 - self.probability) } else { 0.0 };
        let function = Pointwise::new(shader!("dropout"), "dropout");
        Some(function.scalar_u32(threshold).scalar(scale).scalar_u32(self.stream).indexed())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let dx = at.x(0).graph().apply1(self.clone(), &[&at.dy(0), at.x(1), at.x(2), at.x(3)]);
        Gradients::of([Some(dx), None, None, None])
    }
}

impl Tensor {
    /// In a training graph 0 with probability `p`, else x/(1 − p), drawn anew in every step; in an
    /// inference graph x itself: `torch.nn.functional.dropout` (Srivastava et al. 2014).
    ///
    /// What is dropped depends on the seed of the weights, the step, and the place in the graph only.
    ///
    /// # Errors
    /// A probability outside 0 to 1.
    #[track_caller]
    pub fn dropout(&self, p: f32) -> Tensor {
        let graph = self.graph();
        if !(0.0..=1.0).contains(&p) {
            graph.fail(Error::new(ErrorKind::Shape, format!("dropout: probability {p} is not from 0 to 1")));
            return graph.failed();
        }
        if graph.mode() == Mode::Infer || p == 0.0 || self.is_failed() {
            return self.clone();
        }
        let [low, high] = graph.seed();
        let op = Dropout { probability: p, stream: graph.next_stream() };
        graph.apply1(op, &[self, &low, &high, &graph.step()])
    }
}

#[cfg(test)]
mod tests {
    use crate::{autodiff::gradients, prelude::*, testing::context};

    const COUNT: usize = 40_000;

    fn session(p: f32) -> Session {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [COUNT]);
        let (y, z) = (x.dropout(p), x.dropout(p));
        let dx = gradients(&y.sum_all(), &[x])[0].clone().unwrap();
        let plan = graph.plan(&[("y", &y), ("z", &z), ("dx", &dx)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 11).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("x", &Array::from_f32([COUNT], &[1.0; COUNT]).unwrap()).unwrap();
        session.run().unwrap();
        session
    }

    fn read(session: &Session, name: &str) -> Vec<f32> {
        session.read_blocking(name).unwrap().to_f32()
    }

    #[test]
    fn drops_the_right_share_and_scales_the_rest() {
        let session = session(0.3);
        let y = read(&session, "y");
        assert!(y.iter().all(|&y| y == 0.0 || (y - 1.0 / 0.7).abs() < 1e-6));
        let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / COUNT as f64;
        assert!((dropped - 0.3).abs() < 0.01, "{dropped}");
        let neighbours = y.windows(2).filter(|pair| pair[0] == 0.0 && pair[1] == 0.0).count() as f64 / COUNT as f64;
        assert!((neighbours - 0.09).abs() < 0.01, "{neighbours}");
    }

    #[test]
    fn the_gradient_is_dropped_alike() {
        let session = session(0.5);
        assert_eq!(read(&session, "y"), read(&session, "dx"));
    }

    #[test]
    fn places_and_steps_draw_differently_and_seeds_repeat() {
        let first = session(0.5);
        let (y, z) = (read(&first, "y"), read(&first, "z"));
        assert_ne!(y, z);
        assert_eq!(y, read(&session(0.5), "y"));
        first.run().unwrap();
        assert_ne!(y, read(&first, "y"));
    }

    #[test]
    fn the_ends_of_the_range() {
        assert!(read(&session(1.0), "y").iter().all(|&y| y == 0.0));
        assert!(read(&session(0.0), "y").iter().all(|&y| y == 1.0));
        let graph = Graph::new(Mode::Train);
        graph.input("x", [2]).dropout(1.5);
        assert_eq!(graph.check().unwrap_err().message(), "dropout: probability 1.5 is not from 0 to 1");
    }

    #[test]
    fn inference_keeps_everything() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2]);
        assert_eq!(x.dropout(0.5).id(), x.id());
    }
}
