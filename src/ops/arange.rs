//! arange: y[i] = start + i·step; linspace: equal steps from one number to another.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Arange {
    desc: TensorDesc,
    start: f64,
    step: f64,
    /// The last number, to which steps are counted back.
    end: Option<f64>,
}

impl Op for Arange {
    fn name(&self) -> &'static str {
        if self.end.is_some() { "linspace" } else { "arange" }
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![self.desc.clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = |name| Pointwise::new(shader!("arange"), name);
        Some(
            match (self.end, self.desc.dtype) {
                (Some(end), _) => {
                    let ends = function("linspace").scalar(self.start as f32).scalar(end as f32);
                    ends.scalar(self.step as f32).scalar_u32(self.desc.shape.numel() as u32)
                }
                // Negative steps are two's complement.
                (None, DType::U32) => {
                    function("arange_u32").scalar_u32(self.start as u32).scalar_u32(self.step as i64 as u32)
                }
                (None, _) => function("arange").scalar(self.start as f32).scalar(self.step as f32),
            }
            .indexed(),
        )
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([])
    }
}

impl Graph {
    /// The numbers start, start + step, … before `end`: `[⌈(end − start)/step⌉]`, `torch.arange`.
    ///
    /// For `u32` start and step must be whole numbers; for the other types they are `f32`.
    ///
    /// ```
    /// # use wgrad::prelude::*;
    /// let graph = Graph::new(Mode::Infer);
    /// assert_eq!(graph.arange(0.0, 10.0, 3.0, DType::U32).shape(), [4].into());
    /// ```
    ///
    /// # Gradient
    /// None: there is nothing to differentiate.
    ///
    /// # Errors
    /// Recorded in the graph: a step of 0 or away from `end`, or numbers that are not the type's.
    #[track_caller]
    pub fn arange(&self, start: f64, end: f64, step: f64, dtype: DType) -> Tensor {
        let count = ((end - start) / step).ceil();
        let last = start + (count - 1.0).max(0.0) * step;
        let is_index = |x: f64| x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&x);
        let whole = step.fract() == 0.0 && step.abs() <= f64::from(u32::MAX) && is_index(start) && is_index(last);
        let misfit = if !(0.0..=f64::from(u32::MAX)).contains(&count) {
            Misfit::shape(format!("steps of {step} do not lead from {start} to {end}"))
        } else if dtype == DType::U32 && !whole {
            Misfit::dtype(format!("numbers from {start} to {end} in steps of {step} are not u32"))
        } else {
            let desc = TensorDesc::new([count as usize], dtype);
            return self.apply1(Arange { desc, start, step, end: None }, &[]);
        };
        self.fail(misfit.of("arange"));
        self.failed()
    }

    /// `count` numbers in equal steps from `start` to `end`, both included: `[count]`, `torch.linspace`.
    ///
    /// # Gradient
    /// None: there is nothing to differentiate.
    ///
    /// # Errors
    /// Recorded in the graph: an index type.
    #[track_caller]
    pub fn linspace(&self, start: f64, end: f64, count: usize, dtype: DType) -> Tensor {
        if !dtype.is_float() {
            self.fail(Misfit::dtype(format!("gives floating point numbers, not {dtype}")).of("linspace"));
            return self.failed();
        }
        let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
        self.apply1(Arange { desc: TensorDesc::new([count], dtype), start, step, end: Some(end) }, &[])
    }
}

#[cfg(test)]
mod tests {
    use crate::{kernel::DeviceClass, plan::PlanOptions, prelude::*, testing::context, testing::run_on};

    fn values(of: impl Fn(&Graph) -> Tensor) -> [Array; 2] {
        [DeviceClass::Software, DeviceClass::Portable].map(|class| {
            let graph = Graph::new(Mode::Infer);
            let y = of(&graph);
            let target = context().target().with_class(class);
            run_on(&graph, &[("y", &y)], &[], &target, PlanOptions::default()).unwrap().remove(0)
        })
    }

    #[test]
    fn ranges_are_half_open() {
        let cases = [(0.0, 5.0, 1.0), (1.0, 2.1, 0.5), (5.0, -3.0, -2.0), (2.0, 2.0, 1.0), (0.0, 5000.0, 1.0)];
        for (start, end, step) in cases {
            let (mut expected, mut x) = (Vec::new(), start);
            while (step > 0.0 && x < end) || (step < 0.0 && x > end) {
                expected.push(x as f32);
                x += step;
            }
            for found in values(|graph| graph.arange(start, end, step, DType::F32)) {
                assert_eq!(found.to_f32(), expected);
            }
        }
        for found in values(|graph| graph.arange(0.0, 1.0, 0.25, DType::F16)) {
            assert_eq!(found, Array::from_f32_as(DType::F16, [4], &[0.0, 0.25, 0.5, 0.75]).unwrap());
        }
        for found in values(|graph| graph.arange(4_294_967_290.0, 4_294_967_296.0, 2.0, DType::U32)) {
            assert_eq!(found.to_u32(), [4_294_967_290, 4_294_967_292, 4_294_967_294]);
        }
        for found in values(|graph| graph.arange(3.0, -1.0, -1.0, DType::U32)) {
            assert_eq!(found.to_u32(), [3, 2, 1, 0]);
        }
    }

    #[test]
    fn equal_steps_reach_both_ends() {
        for (start, end, count) in [(0.0, 1.0, 5), (-3.0, 10.0, 4099), (2.0, 7.0, 1), (2.0, 7.0, 0), (1.0, -1.0, 2)] {
            for found in values(|graph| graph.linspace(start, end, count, DType::F32)) {
                let found = found.to_f32();
                assert_eq!(found.len(), count);
                for (i, x) in found.iter().enumerate() {
                    let expected = start + (end - start) * i as f64 / (count.max(2) - 1) as f64;
                    assert!((f64::from(*x) - expected).abs() < 2e-6, "{i}: {x}, not {expected}");
                }
                if count > 1 {
                    assert_eq!((found[0], found[count - 1]), (start as f32, end as f32));
                }
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let message = |mistake: &dyn Fn(&Graph) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let away = "arange: steps of -1 do not lead from 0 to 3";
        assert_eq!(message(&|graph| graph.arange(0.0, 3.0, -1.0, DType::F32)), away);
        assert!(message(&|graph| graph.arange(0.0, 3.0, 0.0, DType::F32)).starts_with("arange: steps of 0"));
        let numbers = "arange: numbers from 0 to 1 in steps of 0.5 are not u32";
        assert_eq!(message(&|graph| graph.arange(0.0, 1.0, 0.5, DType::U32)), numbers);
        let index = "linspace: gives floating point numbers, not u32";
        assert_eq!(message(&|graph| graph.linspace(0.0, 1.0, 3, DType::U32)), index);
    }
}
