//! random: numbers drawn on the device with Philox 4×32-10: initial values, and uniform, normal, Bernoulli and
//! integer numbers that are others in every step.
//!
//! A number depends on the seed, a stream, the step and the element's index, on nothing else (Salmon et al.,
//! "Parallel random numbers: as easy as 1, 2, 3", 2011); four neighbours share four words. The words are computed with integers and so are the same on
//! every driver, and with them what comparisons and integers are made of them: dropout, Bernoulli numbers, integers.
//! Uniform numbers are the same where their lower end is 0 or their span a power of two, else up to the last bit,
//! as drivers may fuse a product and a sum; normal ones differ by the rounding of their logarithm and root.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Graph, Init, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Random {
    desc: TensorDesc,
    distribution: Distribution,
    seed: u64,
    stream: u32,
}

#[derive(Clone, Copy, Debug)]
enum Distribution {
    /// From center − half to center + half.
    Uniform {
        center: f32,
        half: f32,
    },
    Normal {
        mean: f32,
        std: f32,
    },
}

impl Op for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        if self.desc.dtype.is_float() {
            Ok(vec![self.desc.clone()])
        } else {
            Err(Misfit::dtype(format!("draws floating point numbers, not {}", self.desc)))
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let (function, a, b) = match self.distribution {
            Distribution::Uniform { center, half } => ("random_uniform_element", center, half),
            Distribution::Normal { mean, std } => ("draw_normal", mean, std),
        };
        let words = [self.seed as u32, (self.seed >> 32) as u32, self.stream];
        Some(Pointwise::new(shader!("random"), function).scalar(a).scalar(b).drawing("initial_words", 0..0, &words))
    }
}

impl Graph {
    /// The initial value of a variable: a function of the seed and the variable's name.
    pub(crate) fn initial(&self, name: &str, desc: &TensorDesc, init: Init, seed: u64) -> Tensor {
        let distribution = match init {
            Init::Constant(value) => return self.full(&desc.shape, value, desc.dtype),
            Init::Seed { word } => return self.full_u32(&desc.shape, (seed >> (32 * word.min(1))) as u32),
            Init::Uniform { bound } => Distribution::Uniform { center: 0.0, half: bound },
            Init::Normal { mean, std } => Distribution::Normal { mean, std },
            Init::NormalBut { std, row } => {
                let all = self.initial(name, desc, Init::normal(std), seed);
                let sizes = desc.shape.iter().enumerate().map(|(d, &size)| if d == 0 { size } else { 1 });
                let rows = self.arange(0.0, all.size(0) as f64, 1.0, DType::U32).reshape(sizes.collect::<Shape>());
                return rows.eq(&self.full_u32([], row)).where_(&self.constant(0.0, desc.dtype), &all);
            }
        };
        self.apply1(Random { desc: desc.clone(), distribution, seed, stream: stream_of(name) }, &[])
    }
}

/// Numbers that are others in every step; inputs are the two words of the seed, the step, and for Bernoulli numbers
/// the probabilities.
#[derive(Debug)]
struct Draw {
    desc: TensorDesc,
    kind: Kind,
    stream: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// From low, over span, at most top.
    Uniform {
        low: f32,
        span: f32,
        top: f32,
    },
    Normal {
        mean: f32,
        std: f32,
    },
    Bernoulli,
    /// From low, so many.
    Integer {
        low: u32,
        count: u32,
    },
}

impl Kind {
    /// Refuses settings of which no distribution can be made.
    fn check(self) -> Result<(), Misfit> {
        match self {
            Kind::Uniform { low, span, .. } if !(low.is_finite() && span.is_finite() && span > 0.0) => {
                Err(Misfit::shape(format!("draws from {low} over {span}, which is no range")))
            }
            Kind::Normal { mean, std } if !(mean.is_finite() && std.is_finite() && std >= 0.0) => {
                Err(Misfit::shape(format!("mean {mean} and deviation {std} are those of no distribution")))
            }
            Kind::Integer { count: 0, .. } => Err(Misfit::shape("draws from an empty range")),
            _ => Ok(()),
        }
    }
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Uniform { .. } => "uniform",
            Kind::Normal { .. } => "normal",
            Kind::Bernoulli => "bernoulli",
            Kind::Integer { .. } => "randint",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        self.kind.check()?;
        match inputs.get(3) {
            Some(p) if !p.dtype.is_float() => Err(Misfit::dtype(format!("needs probabilities, not {p}"))),
            _ => Ok(vec![self.desc.clone()]),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let drawn = |function| Pointwise::new(shader!("random"), function);
        let drawn = match self.kind {
            Kind::Uniform { low, span, top } => drawn("draw_uniform").scalar(low).scalar(span).scalar(top),
            Kind::Normal { mean, std } => drawn("draw_normal").scalar(mean).scalar(std),
            Kind::Bernoulli => drawn("draw_bernoulli"),
            Kind::Integer { low, count } => drawn("draw_integer").scalar_u32(low).scalar_u32(count),
        };
        Some(drawn.drawing("draw_words", 0..3, &[self.stream]))
    }

    // No gradient flows through a draw.
    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of(at.inputs.iter().map(|_| None))
    }
}

/// Random numbers, others in every step of training and of every such call, the same for the same seed.
///
/// They follow from the graph's states `seed.0`, `seed.1` and `step`. An inference graph counts no steps, so that
/// every run draws the same unless the graph itself counts: `graph.increment(&graph.step())`.
impl Graph {
    #[track_caller]
    fn draw(&self, desc: TensorDesc, kind: Kind, probability: Option<&Tensor>) -> Tensor {
        let ([low, high], step) = (self.seed(), self.step());
        let inputs = [Some(&low), Some(&high), Some(&step), probability];
        let inputs: Vec<&Tensor> = inputs.into_iter().flatten().collect();
        self.apply1(Draw { desc, kind, stream: self.next_stream() }, &inputs)
    }

    /// Uniform in [low, high), `f32`: `torch.empty(shape).uniform_(low, high)`.
    ///
    /// There are 2²⁴ of them, evenly spaced.
    ///
    /// # Gradient
    /// None flows through it.
    ///
    /// # Errors
    /// Recorded in the graph: ends that are not finite or not in order.
    #[track_caller]
    pub fn uniform(&self, shape: impl Into<Shape>, low: f32, high: f32) -> Tensor {
        let kind = Kind::Uniform { low, span: high - low, top: high.next_down() };
        self.draw(TensorDesc::new(shape, DType::F32), kind, None)
    }

    /// Normal with a mean and a standard deviation, `f32`: `torch.normal`, by Box and Muller's method (1958), which
    /// ends at ±5.77 deviations.
    ///
    /// # Gradient
    /// None flows through it; `graph.normal(shape, 0.0, 1.0) * deviation + mean` has one for both.
    ///
    /// # Errors
    /// Recorded in the graph: a negative deviation, or numbers that are not finite.
    #[track_caller]
    pub fn normal(&self, shape: impl Into<Shape>, mean: f32, std: f32) -> Tensor {
        self.draw(TensorDesc::new(shape, DType::F32), Kind::Normal { mean, std }, None)
    }

    /// 1 with a probability, else 0, `f32`: `torch.bernoulli`. [`Tensor::bernoulli`] takes a probability for each.
    ///
    /// # Gradient
    /// None flows through it.
    ///
    /// # Errors
    /// Recorded in the graph: a probability outside 0..=1.
    #[track_caller]
    pub fn bernoulli(&self, shape: impl Into<Shape>, probability: f32) -> Tensor {
        if !(0.0..=1.0).contains(&probability) {
            let misfit = Misfit::shape(format!("probability {probability} is not from 0 to 1"));
            self.fail(misfit.of("bernoulli"));
            return self.failed();
        }
        let desc = TensorDesc::new(shape, DType::F32);
        self.draw(desc, Kind::Bernoulli, Some(&self.constant(probability, DType::F32)))
    }

    /// Integers from `low` to `high`, without `high`, `u32`: `torch.randint`.
    ///
    /// Each is as probable as the others up to 2⁻³².
    ///
    /// # Gradient
    /// None: there is nothing to differentiate.
    ///
    /// # Errors
    /// Recorded in the graph: an empty range.
    #[track_caller]
    pub fn randint(&self, shape: impl Into<Shape>, low: u32, high: u32) -> Tensor {
        let kind = Kind::Integer { low, count: high.saturating_sub(low) };
        self.draw(TensorDesc::new(shape, DType::U32), kind, None)
    }
}

impl Tensor {
    /// 1 with these probabilities, else 0, of the same shape and element type: `torch.bernoulli`. Outside 0..=1 they
    /// count as 0 or 1, NaN as 0. See [`Graph::bernoulli`].
    ///
    /// # Gradient
    /// None flows through it.
    ///
    /// # Errors
    /// Recorded in the graph: indices instead of numbers.
    #[track_caller]
    pub fn bernoulli(&self) -> Tensor {
        self.graph().draw(self.desc(), Kind::Bernoulli, Some(self))
    }
}

/// FNV-1a of a name: the stream of a variable, whatever else a graph declares.
fn stream_of(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
pub(super) mod tests {
    use super::stream_of;
    use crate::{
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{context, run, run_on},
    };

    /// Philox 4×32-10 on the host.
    pub fn philox(mut words: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
        for _ in 0..10 {
            let (a, b) = (u64::from(words[0]) * 0xD251_1F53, u64::from(words[2]) * 0xCD9E_8D57);
            let high = |product: u64| (product >> 32) as u32;
            words = [high(b) ^ words[1] ^ key[0], b as u32, high(a) ^ words[3] ^ key[1], a as u32];
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        words
    }

    const SEED: u64 = 0x2545_F491_4F6C_DD1D;
    const LEN: usize = 20_001;

    fn draw(init: Init, dtype: DType, class: DeviceClass) -> Vec<f64> {
        let graph = Graph::new(Mode::Infer);
        let y = graph.initial("layer.weight", &TensorDesc::new([LEN], dtype), init, SEED);
        let target = context().target().with_class(class);
        let found = run_on(&graph, &[("y", &y)], &[], &target, PlanOptions::default()).unwrap();
        found[0].to_f32().into_iter().map(f64::from).collect()
    }

    /// The four words that element i shares with its neighbours, as numbers from 0 to 1.
    fn words(i: usize) -> [f64; 4] {
        let words = philox([i as u32 / 4, stream_of("layer.weight"), 0, 0], [SEED as u32, (SEED >> 32) as u32]);
        words.map(|word| f64::from(word >> 8) / f64::from(1 << 24))
    }

    #[test]
    fn the_generator_passes_its_authors_tests() {
        let all = u32::MAX;
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]);
        assert_eq!(philox([all; 4], [all; 2]), [0x408F_276D, 0x41C8_3B0E, 0xA20B_C7C6, 0x6D54_51FD]);
        assert_eq!(
            philox([0x243F_6A88, 0x85A3_08D3, 0x1319_8A2E, 0x0370_7344], [0xA409_3822, 0x299F_31D0]),
            [0xD16C_FE09, 0x94FD_CCEB, 0x5001_E420, 0x2412_6EA1]
        );
    }

    #[test]
    fn uniform_numbers_are_the_generators() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for (i, y) in draw(Init::Uniform { bound: 0.3 }, DType::F32, class).into_iter().enumerate() {
                let expected = 0.3_f32 * (2.0 * words(i)[i % 4] - 1.0) as f32;
                assert_eq!(y, f64::from(expected), "element {i}");
            }
        }
    }

    #[test]
    fn normal_numbers_are_the_generators() {
        let found = draw(Init::Normal { mean: 1.0, std: 2.0 }, DType::F32, DeviceClass::Portable);
        for (i, y) in found.iter().enumerate() {
            let two = i % 4 / 2 * 2;
            let (u, v) = (words(i)[two], std::f64::consts::TAU * words(i)[two + 1]);
            let direction = if i % 2 == 0 { v.cos() } else { v.sin() };
            let expected = (-2.0 * (u + 2.0_f64.powi(-24)).ln()).sqrt() * direction;
            assert!((y - (1.0 + 2.0 * expected)).abs() < 1e-4, "element {i}: {y}, not {}", 1.0 + 2.0 * expected);
        }
        let mean = found.iter().sum::<f64>() / LEN as f64;
        let variance = found.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / LEN as f64;
        assert!((mean - 1.0).abs() < 0.05 && (variance.sqrt() - 2.0).abs() < 0.05, "mean {mean}, variance {variance}");
        let half = draw(Init::Normal { mean: 1.0, std: 2.0 }, DType::F16, DeviceClass::Software);
        assert!(found.iter().zip(half).all(|(wide, half)| (wide - half).abs() < 1e-2));
    }

    #[test]
    fn the_device_passes_the_authors_test() {
        // Counter and key 0: the first word of the first element.
        let graph = Graph::new(Mode::Infer);
        let distribution = super::Distribution::Uniform { center: 0.5, half: 0.5 };
        let desc = TensorDesc::new([1], DType::F32);
        let y = graph.apply1(super::Random { desc, distribution, seed: 0, stream: 0 }, &[]);
        let found = run(&graph, &[("y", &y)], &[]).unwrap()[0].to_f32();
        assert_eq!(found, [(0x6627_E8D5_u32 >> 8) as f32 / (1 << 24) as f32]);
    }

    /// What a graph draws in some steps, with a seed.
    fn drawn(seed: u64, steps: usize, class: DeviceClass, outputs: impl Fn(&Graph) -> Vec<Tensor>) -> Vec<Vec<Array>> {
        let graph = Graph::new(Mode::Train);
        let outputs = outputs(&graph);
        let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
        let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
        let plan = graph.plan(&named, &context().target().with_class(class)).unwrap();
        let weights = Weights::init(context(), &plan, seed).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let step = |_| {
            session.run().unwrap();
            names.iter().map(|name| session.read_blocking(name).unwrap()).collect()
        };
        (0..steps).map(step).collect()
    }

    fn floats(array: &Array) -> Vec<f64> {
        array.to_f32().into_iter().map(f64::from).collect()
    }

    /// Mean, variance, skewness and kurtosis.
    fn moments(x: &[f64]) -> [f64; 4] {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let central = |power: i32| x.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
        let variance = central(2);
        [mean, variance, central(3) / variance.powf(1.5), central(4) / variance.powi(2)]
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        let ([mean_a, var_a, ..], [mean_b, var_b, ..]) = (moments(a), moments(b));
        let products = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>();
        products / a.len() as f64 / (var_a * var_b).sqrt()
    }

    #[test]
    fn draws_are_the_generators_at_every_step_and_class() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let steps = drawn(SEED, 2, class, |graph| {
                vec![
                    graph.uniform([3, 1001], 0.0, 5.0),
                    graph.bernoulli([3003], 0.3),
                    graph.randint([1001, 3], 10, 17),
                    graph.randint([5], 3, 4),
                    graph.uniform([3003], 0.0, 1.0).bernoulli(),
                ]
            });
            for (step, found) in steps.iter().enumerate() {
                let numbers: Vec<Vec<f32>> = found.iter().map(Array::to_f32).collect();
                let integers = found[2].to_u32();
                for i in 0..3003 {
                    let word = |stream: u32| {
                        let counter = [i as u32 / 4, stream, step as u32, 1];
                        philox(counter, [SEED as u32, (SEED >> 32) as u32])[i % 4]
                    };
                    let share = |stream| (word(stream) >> 8) as f32 / (1 << 24) as f32;
                    assert_eq!(numbers[0][i], 5.0 * share(1), "step {step}, element {i}");
                    assert_eq!(numbers[1][i], if share(2) < 0.3 { 1.0 } else { 0.0 });
                    let integer = 10 + ((u64::from(word(3)) * 7) >> 32) as u32;
                    assert_eq!(integers[i], integer);
                    assert_eq!(numbers[4][i], if share(6) < share(5) { 1.0 } else { 0.0 });
                }
                assert_eq!(found[3].to_u32(), [3; 5]);
            }
        }
    }

    #[test]
    fn moments_and_tails_are_those_of_the_distributions() {
        const COUNT: usize = 200_000;
        let found = drawn(7, 1, DeviceClass::Portable, |graph| {
            vec![
                graph.uniform([COUNT], -3.0, 5.0),
                graph.normal([COUNT], 2.0, 3.0),
                graph.bernoulli([COUNT], 0.2),
                graph.randint([COUNT], 0, 10).cast(DType::F32),
            ]
        });
        let found: Vec<Vec<f64>> = found[0].iter().map(floats).collect();
        // Mean, variance, skewness and kurtosis, each with about five of its standard errors.
        let cases = [
            ([1.0, 64.0 / 12.0, 0.0, 1.8], [0.03, 0.06, 0.02, 0.02]),
            ([2.0, 9.0, 0.0, 3.0], [0.04, 0.15, 0.03, 0.06]),
            ([0.2, 0.16, 1.5, 3.25], [0.005, 0.003, 0.04, 0.12]),
            ([4.5, 8.25, 0.0, 1.7757], [0.04, 0.09, 0.02, 0.02]),
        ];
        for (i, (x, (expected, most))) in found.iter().zip(cases).enumerate() {
            for ((found, expected), most) in moments(x).iter().zip(expected).zip(most) {
                assert!((found - expected).abs() < most, "{i}: moment {found}, not {expected}");
            }
        }
        assert!(found[0].iter().all(|x| (-3.0..5.0).contains(x)));
        // Normal tails: the shares beyond 1, 2, 3 and 4 deviations.
        for (beyond, share) in [(1.0, 0.3173), (2.0, 0.0455), (3.0, 0.0027), (4.0, 6.33e-5)] {
            let count = found[1].iter().filter(|x| ((*x - 2.0) / 3.0).abs() > beyond).count() as f64;
            let error = 5.0 * (COUNT as f64 * share).sqrt();
            assert!((count - COUNT as f64 * share).abs() < error, "{count} beyond {beyond}");
        }
        // Kolmogorov and Smirnov's distance of the uniform numbers.
        let mut sorted = found[0].clone();
        sorted.sort_by(f64::total_cmp);
        let distance = sorted.iter().enumerate().map(|(i, x)| ((x + 3.0) / 8.0 - i as f64 / COUNT as f64).abs());
        assert!(distance.fold(0.0, f64::max) < 1.95 / (COUNT as f64).sqrt());
    }

    #[test]
    fn streams_steps_seeds_and_neighbours_are_independent() {
        const COUNT: usize = 40_000;
        let two = |graph: &Graph| vec![graph.normal([COUNT], 0.0, 1.0), graph.normal([COUNT], 0.0, 1.0)];
        let mut all: Vec<Vec<f64>> = Vec::new();
        for seed in [1, 2] {
            all.extend(drawn(seed, 3, DeviceClass::Portable, two).iter().flatten().map(floats));
        }
        all.push(all[0][1..].iter().copied().chain([0.0]).collect());
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                let found = correlation(a, b);
                assert!(found.abs() < 5.0 / (COUNT as f64).sqrt(), "correlation {found} with {i}");
            }
        }
        // The same seed draws the same, whatever the class of the device.
        let again = drawn(1, 1, DeviceClass::Portable, two);
        assert_eq!(floats(&again[0][1]), all[1]);
    }

    #[test]
    fn the_upper_end_is_never_drawn() {
        // Rounding of 2²⁴ + u would reach it in half of all cases.
        let found = drawn(1, 1, DeviceClass::Software, |graph| vec![graph.uniform([4096], 16_777_214.0, 16_777_216.0)]);
        assert!(found[0][0].to_f32().iter().all(|x| (16_777_214.0..16_777_216.0).contains(x)));
    }

    #[test]
    fn probabilities_beyond_the_ends_count_as_the_ends() {
        let graph = Graph::new(Mode::Train);
        let y = graph.input("p", [6]).bernoulli();
        let p = Array::from_f32([6], &[0.0, 1.0, -2.0, 5.0, f32::NAN, f32::INFINITY]).unwrap();
        assert_eq!(run(&graph, &[("y", &y)], &[("p", p)]).unwrap()[0].to_f32(), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        let empty = Graph::new(Mode::Train);
        let none = empty.uniform([0, 3], 0.0, 1.0);
        assert!(run(&empty, &[("y", &none)], &[]).unwrap()[0].to_f32().is_empty());
    }

    #[test]
    fn a_step_of_an_inference_graph_is_counted_where_it_asks_for_it() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.uniform([8], 0.0, 1.0);
        graph.increment(&graph.step());
        let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let runs = [0; 2].map(|_| {
            session.run().unwrap();
            session.read_blocking("y").unwrap().to_f32()
        });
        assert_ne!(runs[0], runs[1]);
    }

    #[test]
    fn no_distribution_is_a_mistake() {
        let said = |draw: &dyn Fn(&Graph) -> Tensor| {
            let graph = Graph::new(Mode::Train);
            assert!(draw(&graph).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(said(&|graph| graph.uniform([2], 1.0, 1.0)), "uniform: draws from 1 over 0, which is no range");
        assert_eq!(
            said(&|graph| graph.normal([2], 0.0, -1.0)),
            "normal: mean 0 and deviation -1 are those of no distribution"
        );
        assert_eq!(said(&|graph| graph.bernoulli([2], 1.5)), "bernoulli: probability 1.5 is not from 0 to 1");
        assert_eq!(said(&|graph| graph.randint([2], 5, 5)), "randint: draws from an empty range");
        assert_eq!(
            said(&|graph| graph.input_of("p", [2], DType::U32).bernoulli()),
            "bernoulli: needs probabilities, not u32[2]"
        );
    }

    #[test]
    fn the_seed_is_kept_in_two_words() {
        let graph = Graph::new(Mode::Train);
        let [low, high] = graph.seed();
        let plan = graph.plan(&[("0", &low), ("1", &high)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, SEED).unwrap();
        assert_eq!(weights.read("seed.0").unwrap().to_u32(), [SEED as u32]);
        assert_eq!(weights.read("seed.1").unwrap().to_u32(), [(SEED >> 32) as u32]);
    }
}
