//! detach(x) = x, without a gradient

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Tensor},
};

#[derive(Debug)]
struct Detach;

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(inputs.to_vec())
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([None])
    }
}

impl Tensor {
    /// The same value, through which no gradient flows: `Tensor.detach`. Takes no memory and no time.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        self.graph().apply1(Detach, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{autodiff::gradients, prelude::*};

    #[test]
    fn nothing_flows_through_detach() {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [3]);
        let loss = x.detach().sum_all();
        assert!(gradients(&loss, &[x])[0].is_none());
        graph.check().unwrap();
    }
}
