//! increment: x ← x + 1, in place, for counters.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Increment;

impl Op for Increment {
    fn name(&self) -> &'static str {
        "increment"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs[0].dtype {
            DType::U32 => Ok(vec![inputs[0].clone()]),
            _ => Err(Misfit::dtype(format!("counts in u32, not {}", inputs[0]))),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("increment"), "increment"))
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Adds one to a `u32` variable in place and returns the new value.
    ///
    /// # Gradient
    /// None: it changes a counter.
    ///
    /// # Errors
    /// Recorded in the graph: a tensor that is no `u32` variable.
    #[track_caller]
    pub fn increment(&self, counter: &Tensor) -> Tensor {
        self.apply1(Increment, &[counter])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::context};

    #[test]
    fn every_run_adds_one() {
        let graph = Graph::new(Mode::Infer);
        let counter = graph.state("counter", TensorDesc::new([], DType::U32), Init::Constant(41.0));
        let next = graph.increment(&counter);
        let plan = graph.plan(&[("next", &next)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        for expected in [42, 43, 44] {
            session.run().unwrap();
            assert_eq!(session.read_blocking("next").unwrap().to_u32(), [expected]);
            assert_eq!(weights.read("counter").unwrap().to_u32(), [expected]);
        }
    }

    #[test]
    fn several_runs_are_one_submit_and_changes_follow_changes() {
        let graph = Graph::new(Mode::Infer);
        let counter = graph.state("counter", TensorDesc::new([], DType::U32), Init::zeros());
        let other = graph.state("other", TensorDesc::new([], DType::U32), Init::zeros());
        // The second changes what the first has made; neither is an output.
        graph.increment(&graph.increment(&counter));
        let plan = graph.plan(&[("other", &other)], context().target()).unwrap();
        assert!(plan.changes().map(|variable| &*variable.name).eq(["counter"]));
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let beside = weights.beside(&[&plan], 0).unwrap();
        Session::new(context(), plan, &beside).unwrap().run_times(5).unwrap();
        assert_eq!(beside.read("counter").unwrap().to_u32(), [10]);
        assert_eq!(weights.read("counter").unwrap().to_u32(), [0]);
    }

    #[test]
    fn only_integers_count() {
        let graph = Graph::new(Mode::Infer);
        graph.increment(&graph.parameter("w", [2], Init::ones()));
        assert_eq!(graph.check().unwrap_err().message(), "increment: counts in u32, not f32[2]");
    }
}
