//! dropout: y = x/(1 − p) with probability 1 − p, else 0.
//!
//! The choice depends on the seed, the step, the operation's stream and the element's index, by
//! Philox 4×32-10 and a comparison of integers: the same on every driver. Backward draws it again
//! instead of keeping a mask.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Mode, Op, Pointwise, Tensor},
    shader,
};

#[derive(Clone, Copy, Debug)]
struct Dropout {
    probability: f32,
    stream: u32,
}

impl Dropout {
    fn check(probability: f32) -> Result<(), Misfit> {
        if (0.0..=1.0).contains(&probability) {
            Ok(())
        } else {
            Err(Misfit::shape(format!("probability {probability} is not from 0 to 1")))
        }
    }

    /// How many of the 2³² words keep an element.
    fn threshold(self) -> u32 {
        ((1.0 - f64::from(self.probability)) * 4_294_967_296.0).round().min(f64::from(u32::MAX)) as u32
    }

    fn scale(self) -> f32 {
        if self.probability < 1.0 { 1.0 / (1.0 - self.probability) } else { 0.0 }
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Dropout::check(self.probability)?;
        let [x, words @ ..] = inputs else {
            return Err(Misfit::shape("needs an input, two words of a seed and a step"));
        };
        debug_assert!(words.iter().all(|word| *word == TensorDesc::new([], DType::U32)));
        Pointwise::infer(std::slice::from_ref(x))
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("dropout"), "dropout");
        Some(function.scalar(self.scale()).scalar_u32(self.threshold()).drawing("draw_words", 1..4, &[self.stream]))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let dx = at.x(0).graph().apply1(*self, &[&at.dy(0), at.x(1), at.x(2), at.x(3)]);
        Gradients::of([Some(dx), None, None, None])
    }
}

impl Tensor {
    /// In a training graph each element is 0 with a probability and scaled by 1/(1 − probability)
    /// otherwise, another choice in every step; in an inference graph the input itself,
    /// `torch.nn.functional.dropout` (Srivastava et al. 2014).
    ///
    /// # Gradient
    /// dy·b/(1 − p) with the same b.
    ///
    /// # Errors
    /// Recorded in the graph: a probability outside 0..=1.
    #[track_caller]
    pub fn dropout(&self, probability: f32) -> Tensor {
        let graph = self.graph();
        if let Err(misfit) = Dropout::check(probability) {
            graph.fail(misfit.of("dropout"));
            return graph.failed();
        }
        if graph.mode() == Mode::Infer || probability == 0.0 {
            return self.clone();
        }
        let ([low, high], step) = (graph.seed(), graph.step());
        graph.apply1(Dropout { probability, stream: graph.next_stream() }, &[self, &low, &high, &step])
    }

    /// [`dropout`](Tensor::dropout) of everything along `dims` together: one choice for all their elements.
    ///
    /// `x.dropout_along(p, &[2, 3])` drops whole channels of images, `torch.nn.functional.dropout2d` (Tompson et al.
    /// 2015), `&[1, 2, 3]` whole examples, as stochastic depth does.
    ///
    /// # Gradient
    /// That of a product with the factors 0 and 1/(1 − probability).
    ///
    /// # Errors
    /// Recorded in the graph: a probability outside 0..=1; a dimension that does not exist.
    #[track_caller]
    pub fn dropout_along(&self, probability: f32, dims: &[isize]) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let (graph, mut shape) = (self.graph(), self.shape());
        let axes: Result<Vec<usize>, Misfit> = dims.iter().map(|&dim| shape.axis(dim)).collect();
        match axes.and_then(|axes| Dropout::check(probability).map(|()| axes)) {
            Err(misfit) => {
                graph.fail(misfit.of("dropout_along"));
                graph.failed()
            }
            Ok(_) if graph.mode() == Mode::Infer || probability == 0.0 => self.clone(),
            Ok(axes) => {
                let sizes = shape.iter().enumerate().map(|(d, &size)| if axes.contains(&d) { 1 } else { size });
                shape = sizes.collect();
                self * graph.full(shape, 1.0, self.dtype()).dropout(probability)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{map::tests::slope, random::tests::philox};
    use crate::{
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{context, run, run_on},
    };

    /// The seed, the step and the number of elements of these tests.
    const SEED: u64 = 1;
    const LEN: usize = 5000;

    /// What a dropout with this stream keeps at a step.
    fn keeps(probability: f64, stream: u32, step: u32, i: usize) -> bool {
        let word = philox([i as u32 / 4, stream, step, 1], [SEED as u32, (SEED >> 32) as u32])[i % 4];
        f64::from(word) < (1.0 - probability) * 4_294_967_296.0
    }

    fn numbers() -> Vec<f32> {
        (0..LEN).map(|i| 1.0 + i as f32).collect()
    }

    #[test]
    fn it_keeps_what_the_generator_says_in_both_directions_and_classes() {
        for dtype in [DType::F32, DType::F16] {
            let graph = Graph::new(Mode::Train);
            let x = graph.input_of("x", [LEN], dtype);
            let (first, second) = (x.dropout(0.25), x.dropout(0.25));
            let dx = slope(&x, |_| first.clone());
            let outputs = [("first", &first), ("second", &second), ("dx", &dx)];
            let input = [("x", Array::from_f32_as(dtype, [LEN], &vec![3.0; LEN]).unwrap())];
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let target = context().target().with_class(class);
                let found = run_on(&graph, &outputs, &input, &target, PlanOptions::default()).unwrap();
                for (output, (stream, value)) in found.iter().zip([(1, 4.0), (2, 4.0), (1, 4.0 / 3.0)]) {
                    for (i, y) in output.to_f32().into_iter().enumerate() {
                        let expected = if keeps(0.25, stream, 0, i) { value } else { 0.0 };
                        assert!((y - expected).abs() < 1e-3, "{dtype} {class:?} stream {stream} element {i}: {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_step_drops_others_and_about_as_many_as_asked() {
        let graph = Graph::new(Mode::Train);
        let y = graph.input("x", [LEN]).dropout(0.4);
        let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, SEED).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("x", &Array::from_f32([LEN], &numbers()).unwrap()).unwrap();
        for step in 0..3 {
            session.run().unwrap();
            let y = session.read_blocking("y").unwrap().to_f32();
            let kept = y.iter().enumerate().filter(|(i, y)| {
                assert_eq!(**y != 0.0, keeps(0.4, 1, step, *i), "step {step} element {i}");
                **y != 0.0
            });
            let share = kept.count() as f64 / LEN as f64;
            assert!((share - 0.6).abs() < 0.03, "kept {share} of all elements");
        }
    }

    #[test]
    fn all_or_nothing() {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [LEN]);
        let all = x.dropout(0.0);
        assert_eq!(all.id(), x.id());
        let found = run(&graph, &[("y", &x.dropout(1.0))], &[("x", Array::from_f32([LEN], &numbers()).unwrap())]);
        assert_eq!(found.unwrap()[0].to_f32(), vec![0.0; LEN]);
        let infer = Graph::new(Mode::Infer).input("x", [3]);
        assert_eq!(infer.dropout(0.5).id(), infer.id());
    }

    #[test]
    fn channels_are_dropped_together() {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [20, 50, 3, 5]);
        let y = x.dropout_along(0.25, &[2, -1]);
        let dx = slope(&x, |_| y.clone());
        let numbers: Vec<f32> = (0..15_000).map(|i| 3.0 * (1 + i % 7) as f32).collect();
        let input = [("x", Array::from_f32([20, 50, 3, 5], &numbers).unwrap())];
        let found = run(&graph, &[("y", &y), ("dx", &dx)], &input).unwrap();
        let [y, dx] = [&found[0], &found[1]].map(Array::to_f32);
        for i in 0..15_000 {
            let factor = if keeps(0.25, 1, 0, i / 15) { 4.0 / 3.0 } else { 0.0 };
            assert!((y[i] - numbers[i] * factor).abs() < 1e-4 && (dx[i] - factor).abs() < 1e-6, "element {i}");
        }
        let infer = Graph::new(Mode::Infer).input("x", [3, 2]);
        assert_eq!(infer.dropout_along(0.5, &[1]).id(), infer.id());
        infer.dropout_along(0.5, &[2]);
        let error = infer.graph().check().unwrap_err();
        assert_eq!(error.message(), "dropout_along: dimension 2 is outside shape [3, 2]");
    }

    #[test]
    fn a_scalar_may_be_dropped() {
        let graph = Graph::new(Mode::Train);
        let y = graph.input("x", []).dropout(0.5);
        let found = run(&graph, &[("y", &y)], &[("x", Array::from_f32([], &[3.0]).unwrap())]).unwrap();
        assert_eq!(found[0].to_f32(), [if keeps(0.5, 1, 0, 0) { 6.0 } else { 0.0 }]);
    }

    #[test]
    fn a_probability_is_between_0_and_1() {
        for (probability, text) in [(1.5, "1.5"), (-0.1, "-0.1"), (f32::NAN, "NaN")] {
            let graph = Graph::new(Mode::Infer);
            let y = graph.input("x", [3]).dropout(probability);
            assert!(y.is_failed());
            let error = graph.check().unwrap_err();
            let text = format!("dropout: probability {text} is not from 0 to 1\n  at {}:{}:43", file!(), line!() - 3);
            assert_eq!(error.to_string(), text);
        }
    }
}
