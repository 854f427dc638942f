//! clamp(x) = min(max(x, low), high)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Clamp {
    low: f32,
    high: f32,
}

impl Op for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("clamp"), "clamp_element").scalar(self.low).scalar(self.high))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let slope = ClampGrad { low: self.low, high: self.high };
        Gradients::of([Some(at.x(0).graph().apply1(slope, &[at.x(0), &at.dy(0)]))])
    }
}

#[derive(Debug)]
struct ClampGrad {
    low: f32,
    high: f32,
}

impl Op for ClampGrad {
    fn name(&self) -> &'static str {
        "clamp_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("clamp"), "clamp_grad").scalar(self.low).scalar(self.high))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let slope = ClampGrad { low: self.low, high: self.high };
        Gradients::of([None, Some(at.x(0).graph().apply1(slope, &[at.x(0), &at.dy(0)]))])
    }
}

impl Tensor {
    /// Each element, or the bound it exceeds; infinite bounds are none. NaN stays NaN; the gradient is
    /// 1 from bound to bound, both included: `torch.clamp`.
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        self.graph().apply1(Clamp { low, high }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check_op;

    #[test]
    fn clamp_matches_its_definition() {
        for shape in [[3, 5], [1, 1], [70, 300]] {
            check_op([shape], |[x]| x.clamp(-0.7, 1.1), |[x]| x.map(|x| x.clamp(f64::from(-0.7_f32), f64::from(1.1_f32))));
        }
        check_op([[3, 5]], |[x]| x.clamp(0.0, f32::INFINITY), |[x]| x.map(|x| x.max(0.0)));
    }
}
