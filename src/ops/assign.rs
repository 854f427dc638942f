//! assign: x ← value, in place.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Assign {
    dtype: DType,
}

impl Op for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (variable, value) = (&inputs[0], &inputs[1]);
        let reason = || format!("the variable is {variable}, the value {value}");
        if variable.dtype != value.dtype {
            Err(Misfit::dtype(reason()))
        } else if variable.shape != value.shape {
            Err(Misfit::shape(reason()))
        } else {
            Ok(vec![variable.clone()])
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("assign"), if self.dtype.is_float() { "assign" } else { "assign_u32" }))
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Replaces a parameter or a piece of state in every run, and returns its new value.
    ///
    /// What reads the old value must be written before; a later reader is an error of planning.
    ///
    /// # Gradient
    /// None: asking for one through it is an error that names it.
    ///
    /// # Errors
    /// Recorded in the graph: a value of another shape or element type.
    #[track_caller]
    pub fn assign(&self, variable: &Tensor, value: &Tensor) -> Tensor {
        self.apply1(Assign { dtype: value.dtype() }, &[variable, value])
    }
}

#[cfg(test)]
mod tests {
    use crate::{kernel::DeviceClass, prelude::*, testing::context};

    #[test]
    fn a_variable_keeps_its_new_value() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for size in [1, 6, 5000] {
                let graph = Graph::new(Mode::Train);
                let w = graph.parameter("w", [size], Init::ones());
                let n = graph.state("n", TensorDesc::new([size], DType::U32), Init::Constant(3.0));
                let before = &w * 1.0;
                let after = graph.assign(&w, &(&w * 2.0 + 1.0)) + 0.5;
                graph.assign(&n, &n.ne(&graph.constant(3.0, DType::U32)));
                let plan = graph.plan(&[("before", &before), ("after", &after)], &context().target().with_class(class));
                let plan = plan.unwrap();
                let weights = Weights::init(context(), &plan, 0).unwrap();
                let session = Session::new(context(), plan, &weights).unwrap();
                session.run().unwrap();
                session.run().unwrap();
                assert_eq!(session.read_blocking("before").unwrap().to_f32(), vec![3.0; size]);
                assert_eq!(session.read_blocking("after").unwrap().to_f32(), vec![7.5; size]);
                assert_eq!(weights.read("w").unwrap().to_f32(), vec![7.0; size]);
                assert_eq!(weights.read("n").unwrap().to_u32(), vec![1; size]);
            }
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
    fn shape_and_type_must_be_the_variables() {
        for (desc, kind) in [(TensorDesc::new([3], DType::F32), "shape"), (TensorDesc::new([2], DType::U32), "dtype")] {
            let graph = Graph::new(Mode::Train);
            let w = graph.parameter("w", [2], Init::ones());
            graph.assign(&w, &graph.input_of("value", &desc.shape, desc.dtype));
            let error = graph.check().unwrap_err();
            assert_eq!(error.message(), format!("assign: the variable is f32[2], the value {desc}"));
            assert!(if kind == "shape" { error.is_shape() } else { error.is_dtype() });
        }
    }
}
