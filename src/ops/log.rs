//! log(x) = ln x

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Log;

impl Op for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("log"), "log_element"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) / at.x(0))])
    }
}

impl Tensor {
    /// The natural logarithm; −∞ of 0, NaN of negative numbers, elementwise: `torch.log`.
    #[track_caller]
    pub fn log(&self) -> Tensor {
        self.graph().apply1(Log, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn log_matches_its_definition() {
        Check::new(|[x]| x.log(), |[x]| x.map(|x| x.ln()))
            .range(0.1, 4.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
