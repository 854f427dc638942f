//! pow(x, p) = xᵖ

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

/// xᵖ and its derivatives with respect to x and p.
#[derive(Clone, Copy, Debug)]
enum Pow {
    Value,
    BaseSlope,
    ExponentSlope,
}

impl Op for Pow {
    fn name(&self) -> &'static str {
        "pow"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = match self {
            Pow::Value => "pow_element",
            Pow::BaseSlope => "pow_grad_base",
            Pow::ExponentSlope => "pow_grad_exponent",
        };
        Some(Pointwise::new(shader!("pow"), function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, p, dy) = (at.x(0), at.x(1), at.dy(0));
        let slope = |pow: Pow| x.graph().apply1(pow, &[x, p]);
        let share = |i: usize, slope: &dyn Fn() -> Tensor| at.needs(i).then(|| (&dy * slope()).sum_to(&at.x(i).shape()));
        match self {
            Pow::Value => Gradients::of([share(0, &|| slope(Pow::BaseSlope)), share(1, &|| slope(Pow::ExponentSlope))]),
            // p·(p − 1)·xᵖ⁻², and ∂/∂p (p·xᵖ⁻¹) = xᵖ⁻¹·(1 + p·ln x)
            Pow::BaseSlope => Gradients::of([
                share(0, &|| p * (p - 1.0) * x.pow(&(p - 2.0))),
                share(1, &|| x.pow(&(p - 1.0)) * (p * x.log() + 1.0)),
            ]),
            Pow::ExponentSlope => Gradients::none(),
        }
    }
}

impl Tensor {
    /// x to the power p, elementwise with NumPy's broadcasting: `torch.pow`. x⁰ is 1 for every x;
    /// negative x with a p that is no whole number is NaN.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn pow(&self, exponent: &Tensor) -> Tensor {
        self.graph().apply1(Pow::Value, &[self, exponent])
    }

    /// [`pow`](Tensor::pow) with a number.
    #[track_caller]
    pub fn powf(&self, exponent: f32) -> Tensor {
        self.pow(&self.graph().constant(exponent, self.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Check, check_op};

    #[test]
    fn pow_matches_its_definition() {
        Check::new(|[x, p]| x.pow(&p), |[x, p]| x.zip(&p, f64::powf))
            .range(0.3, 2.0)
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }

    #[test]
    fn whole_powers_of_negative_numbers() {
        for p in [1.0_f32, 2.0, 3.0, 4.0, 5.0] {
            check_op([[4, 9]], |[x]| x.powf(p), |[x]| x.map(|x| x.powf(f64::from(p))));
        }
    }
}
