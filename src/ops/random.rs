//! random: initial values, drawn on the device with Philox 4×32-10.
//!
//! A number depends on the seed, a stream and the element's index, on nothing else, so every driver
//! draws the same (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

use crate::{
    data::{DType, TensorDesc},
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
    Seed,
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
            Distribution::Seed => {
                let seed = Pointwise::new(shader!("random"), "random_seed_word");
                return Some(seed.scalar_u32(self.seed as u32).scalar_u32((self.seed >> 32) as u32).indexed());
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
            Init::Seed => Distribution::Seed,
        };
        let is_seed = matches!(distribution, Distribution::Seed);
        debug_assert_eq!(is_seed, desc.dtype == DType::U32, "{name}: only the seed is an integer");
        self.apply1(Random { desc: desc.clone(), distribution, seed, stream: stream_of(name) }, &[])
    }
}

/// FNV-1a of a name: the stream of a variable, whatever else a graph declares.
fn stream_of(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
