//! random: initial values, drawn on the device with Philox 4×32-10.
//!
//! A number depends on the seed, a stream and the element's index, on nothing else. Uniform numbers
//! are the same on every driver; normal ones differ by the rounding of its logarithm and root
//! (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Graph, Init, Op, Pointwise, Tensor},
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
            Distribution::Normal { mean, std } => ("random_normal_element", mean, std),
        };
        let drawn = Pointwise::new(shader!("random"), function).scalar(a).scalar(b);
        Some(drawn.scalar_u32(self.seed as u32).scalar_u32((self.seed >> 32) as u32).scalar_u32(self.stream).indexed())
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
        testing::{context, run_on},
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

    fn words(i: usize) -> [f64; 2] {
        let words = philox([i as u32, stream_of("layer.weight"), 0, 0], [SEED as u32, (SEED >> 32) as u32]);
        [words[0], words[1]].map(|word| f64::from(word >> 8) / f64::from(1 << 24))
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
                let expected = 0.3_f32 * (2.0 * words(i)[0] - 1.0) as f32;
                assert_eq!(y, f64::from(expected), "element {i}");
            }
        }
    }

    #[test]
    fn normal_numbers_are_the_generators() {
        let found = draw(Init::Normal { mean: 1.0, std: 2.0 }, DType::F32, DeviceClass::Portable);
        for (i, y) in found.iter().enumerate() {
            let [u, v] = words(i);
            let expected = (-2.0 * (u + 2.0_f64.powi(-24)).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
            assert!((y - (1.0 + 2.0 * expected)).abs() < 1e-4, "element {i}: {y}, not {}", 1.0 + 2.0 * expected);
        }
        let mean = found.iter().sum::<f64>() / LEN as f64;
        let variance = found.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / LEN as f64;
        assert!((mean - 1.0).abs() < 0.05 && (variance.sqrt() - 2.0).abs() < 0.05, "mean {mean}, variance {variance}");
        let half = draw(Init::Normal { mean: 1.0, std: 2.0 }, DType::F16, DeviceClass::Software);
        assert!(found.iter().zip(half).all(|(wide, half)| (wide - half).abs() < 1e-2));
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
