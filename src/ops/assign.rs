//! assign: variable ← value, in place

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Assign {
    integers: bool,
}

impl Op for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        if inputs[0] != inputs[1] {
            return Err(Misfit::shape(format!("the variable is {}, the value {}", inputs[0], inputs[1])));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("assign"), if self.integers { "assign_u32" } else { "assign" }))
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Gives a parameter or a piece of state a new value, in place, in every run of the graph.
    ///
    /// Everything written before it reads the old value; reading the old value later is an error when
    /// the graph is planned. Returns the new value.
    ///
    /// # Errors
    /// A value of another shape or element type.
    #[track_caller]
    pub fn assign(&self, variable: &Tensor, value: &Tensor) -> Tensor {
        self.apply1(Assign { integers: !variable.dtype().is_float() }, &[variable, value])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::context};

    #[test]
    fn assign_changes_the_variable_and_earlier_readers_see_the_old_value() {
        let graph = Graph::new(Mode::Infer);
        let w = graph.parameter("w", [1000], Init::Constant(3.0));
        let before = &w * 10.0;
        let after = graph.assign(&w, &(&w + 1.0));
        let next = &after * 10.0;
        let plan = graph.plan(&[("before", &before), ("next", &next)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        for run in 0..3 {
            session.run().unwrap();
            let old = 3.0 + run as f32;
            assert_eq!(session.read_blocking("before").unwrap().to_f32(), vec![10.0 * old; 1000]);
            assert_eq!(session.read_blocking("next").unwrap().to_f32(), vec![10.0 * (old + 1.0); 1000]);
            assert_eq!(weights.read("w").unwrap().to_f32(), vec![old + 1.0; 1000]);
        }
    }

    #[test]
    fn two_variables_exchange_their_values() {
        let graph = Graph::new(Mode::Infer);
        let (a, b) = (graph.parameter("a", [5], Init::Constant(1.0)), graph.parameter("b", [5], Init::Constant(2.0)));
        let (old_a, old_b) = (&a * 1.0, &b * 1.0);
        graph.assign(&a, &old_b);
        graph.assign(&b, &old_a);
        let plan = graph.plan(&[], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        Session::new(context(), plan, &weights).unwrap().run().unwrap();
        assert_eq!(weights.read("a").unwrap().to_f32(), [2.0; 5]);
        assert_eq!(weights.read("b").unwrap().to_f32(), [1.0; 5]);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        let graph = Graph::new(Mode::Infer);
        let w = graph.parameter("w", [2, 2], Init::ones());
        graph.assign(&w, &graph.input("x", [4]));
        assert_eq!(graph.check().unwrap_err().message(), "assign: the variable is f32[2, 2], the value f32[4]");
    }
}
