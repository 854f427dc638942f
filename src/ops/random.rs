//! random: initial values, drawn on the device with Philox 4×32-10.
//!
//! A number depends on the seed, a stream and the element's index, on nothing else, so every driver
//! draws the same (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

use crate::{
    data::TensorDesc,
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
    Uniform { low: f32, high: f32 },
    Normal { mean: f32, std: f32 },
    Seed { word: u32 },
}

impl Op for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![self.desc.clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let (function, a, b) = match self.distribution {
            Distribution::Uniform { low, high } => ("random_uniform_element", low, high),
            Distribution::Normal { mean, std } => ("random_normal_element", mean, std),
            Distribution::Seed { word } => {
                let bits = (self.seed >> (32 * word)) as u32;
                return Some(Pointwise::new(shader!("random"), "random_seed_word").scalar_u32(bits));
            }
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
            Init::Uniform { bound } => Distribution::Uniform { low: -bound, high: bound },
            Init::Normal { mean, std } => Distribution::Normal { mean, std },
            Init::Seed { word } => Distribution::Seed { word },
        };
        self.apply1(Random { desc: desc.clone(), distribution, seed, stream: stream_of(name) }, &[])
    }
}

/// FNV-1a of a name: the stream of a variable, whatever else a graph declares.
fn stream_of(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::context};

    fn draw(init: Init, count: usize, seed: u64) -> Vec<f32> {
        let graph = Graph::new(Mode::Infer);
        let w = graph.parameter("w", [count], init);
        let plan = graph.plan(&[("w", &w)], context().target()).unwrap();
        Weights::init(context(), &plan, seed).unwrap().read("w").unwrap().to_f32()
    }

    /// The reference vectors of Random123's `kat_vectors` for philox4x32-10, by way of its definition.
    fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
        for _ in 0..10 {
            let a = 0xD251_1F53_u64 * u64::from(counter[0]);
            let b = 0xCD9E_8D57_u64 * u64::from(counter[2]);
            counter = [
                (b >> 32) as u32 ^ counter[1] ^ key[0],
                b as u32,
                (a >> 32) as u32 ^ counter[3] ^ key[1],
                a as u32,
            ];
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        counter
    }

    #[test]
    fn the_definition_meets_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    }

    #[test]
    fn uniform_numbers_are_philox_numbers() {
        let seed = 0x0123_4567_89AB_CDEF_u64;
        let drawn = draw(Init::Uniform { bound: 2.0 }, 1001, seed);
        let stream = super::stream_of("w");
        for (i, &x) in drawn.iter().enumerate() {
            let word = philox([i as u32 / 4, stream, 0, 0], [seed as u32, (seed >> 32) as u32])[i % 4];
            assert_eq!(x, -2.0 + 4.0 * ((word >> 8) as f32 / 16_777_216.0), "element {i}");
        }
    }

    #[test]
    fn normal_numbers_have_mean_and_deviation() {
        let drawn = draw(Init::Normal { mean: 3.0, std: 0.5 }, 100_000, 9);
        let mean = drawn.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 3.0).abs() < 0.01 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean} {variance}");
        assert!(drawn.iter().all(|x| x.is_finite()));
        let beyond = drawn.iter().filter(|x| (**x - 3.0).abs() > 1.0).count() as f64 / 1e5;
        assert!((beyond - 0.0455).abs() < 0.003, "{beyond} beyond two deviations");
    }

    #[test]
    fn seeds_and_names_differ_and_repeat() {
        let init = Init::normal(1.0);
        assert_eq!(draw(init, 100, 1), draw(init, 100, 1));
        assert_ne!(draw(init, 100, 1), draw(init, 100, 2));
        let graph = Graph::new(Mode::Infer);
        let (a, b) = (graph.parameter("a", [8], init), graph.parameter("b", [8], init));
        let plan = graph.plan(&[("a", &a), ("b", &b)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        assert_ne!(weights.read("a").unwrap(), weights.read("b").unwrap());
    }
}
