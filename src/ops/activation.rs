//! activation: functions between layers that others are made of; the planner fuses each into one kernel.

use crate::graph::Tensor;

impl Tensor {
    /// x where x > 0, else `slope`·x, `torch.nn.functional.leaky_relu` (Maas et al. 2013; 0.01 is usual).
    ///
    /// # Gradient
    /// dy where x > 0, else `slope`·dy.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f32) -> Tensor {
        self.gt(&self.graph().constant(0.0, self.dtype())).where_(self, &(self * slope))
    }

    /// x where x > 0, else `alpha`·(eˣ − 1), `torch.nn.functional.elu` (Clevert et al. 2015; 1 is usual).
    ///
    /// # Gradient
    /// dy where x > 0, else dy·`alpha`·eˣ.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn elu(&self, alpha: f32) -> Tensor {
        // The other branch must stay finite: its gradient is multiplied by 0, not left out.
        let below = self.clamp(f32::MIN, 0.0).expm1() * alpha;
        self.gt(&self.graph().constant(0.0, self.dtype())).where_(self, &below)
    }

    /// 1.0507·elu(x) with alpha 1.6733, `torch.nn.functional.selu` (Klambauer et al. 2017).
    ///
    /// # Gradient
    /// 1.0507 times that of [`elu`](Tensor::elu).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn selu(&self) -> Tensor {
        self.elu(1.673_263_2) * 1.050_701
    }

    /// min(max(x, 0), 6), `torch.nn.functional.relu6`; no gradient flows at 0 and 6.
    ///
    /// # Gradient
    /// dy where 0 < x < 6, else 0.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn relu6(&self) -> Tensor {
        let bound = |value| self.graph().constant(value, self.dtype());
        let inside = self.gt(&bound(0.0)).logical_and(&self.lt(&bound(6.0)));
        inside.where_(self, &self.clamp(0.0, 6.0).detach())
    }

    /// relu6(x + 3)/6, `torch.nn.functional.hardsigmoid` (Howard et al. 2019).
    ///
    /// # Gradient
    /// dy/6 where −3 < x < 3, else 0.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor {
        (self + 3.0).relu6() * (1.0 / 6.0)
    }

    /// x·hardsigmoid(x), `torch.nn.functional.hardswish` (Howard et al. 2019).
    ///
    /// # Gradient
    /// dy·(hardsigmoid(x) + x/6 where −3 < x < 3).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn hardswish(&self) -> Tensor {
        self * self.hardsigmoid()
    }

    /// ln σ(x), `torch.nn.functional.logsigmoid`.
    ///
    /// # Gradient
    /// dy·σ(−x).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn logsigmoid(&self) -> Tensor {
        -(-self).softplus()
    }

    /// x/(1 + |x|), `torch.nn.functional.softsign`.
    ///
    /// # Gradient
    /// dy/(1 + |x|)².
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn softsign(&self) -> Tensor {
        self / (self.abs() + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{
        INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, slopes, values,
    };
    use crate::prelude::*;

    #[test]
    fn they_match_their_definitions() {
        check_unary((-4.0, 4.0), |[x]| x.leaky_relu(0.1), |x| if x > 0.0 { x } else { 0.1 * x });
        let elu = |x: f64, a: f64| if x > 0.0 { x } else { a * x.exp_m1() };
        check_unary((-4.0, 4.0), |[x]| x.elu(0.7), |x| elu(x, 0.7));
        check_unary((-4.0, 4.0), |[x]| x.selu(), |x| 1.050_700_987 * elu(x, 1.673_263_242));
        check_unary((-8.0, 8.0), |[x]| x.relu6(), |x| x.clamp(0.0, 6.0));
        let hard = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        check_unary((-4.0, 4.0), |[x]| x.hardsigmoid(), hard);
        check_unary((-4.0, 4.0), |[x]| x.hardswish(), |x| x * hard(x));
        check_unary((-4.0, 4.0), |[x]| x.logsigmoid(), |x| -(-x).exp().ln_1p());
        check_unary((-4.0, 4.0), |[x]| x.softsign(), |x| x / (1.0 + x.abs()));
    }

    #[test]
    fn corners_and_special_numbers_are_pytorchs() {
        let numbers = [NAN, INFINITY, NEG_INFINITY, 0.0, 200.0, -200.0];
        assert_numbers(&values(&numbers, |x| x.leaky_relu(0.5)), &[NAN, INFINITY, NEG_INFINITY, 0.0, 200.0, -100.0]);
        assert_numbers(&values(&numbers, |x| x.elu(1.0)), &[NAN, INFINITY, -1.0, 0.0, 200.0, -1.0]);
        assert_numbers(&values(&numbers, |x| x.logsigmoid()), &[NAN, 0.0, NEG_INFINITY, -std::f32::consts::LN_2, 0.0, -200.0]);
        assert_numbers(&slopes(&[0.0, 200.0, -200.0], |x| x.leaky_relu(0.5)), &[0.5, 1.0, 0.5]);
        assert_numbers(&slopes(&[0.0, 200.0, -200.0], |x| x.elu(0.5)), &[0.5, 1.0, 0.0]);
        assert_numbers(&slopes(&[0.0, 6.0, 3.0, 200.0], Tensor::relu6), &[0.0, 0.0, 1.0, 0.0]);
    }
}
