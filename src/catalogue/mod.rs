//! Every operation once, as a small program at four sizes: what the tests of all shaders, the table of
//! operations in `docs/operations.md` and `wgrad bench` go through.

mod attention;
mod conv;
mod index;
mod losses;
mod matrix;
mod norms;
mod pointwise;
mod pool;
mod random;
mod recurrent;
mod rows;
mod shape;

use crate::{
    autodiff::gradients,
    data::{Array, DType, Shape, TensorDesc},
    error::Error,
    graph::{Graph, Mode, Tensor},
    session::Session,
};
use std::{cell::RefCell, ops::Range};

/// All operations, one family after the other.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    const FAMILIES: &[&[Entry]] = &[
        pointwise::ENTRIES,
        rows::ENTRIES,
        matrix::ENTRIES,
        shape::ENTRIES,
        attention::ENTRIES,
        conv::ENTRIES,
        pool::ENTRIES,
        random::ENTRIES,
        recurrent::ENTRIES,
        norms::ENTRIES,
        index::ENTRIES,
        losses::ENTRIES,
    ];
    FAMILIES.iter().copied().flatten()
}

/// How large an example is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// A few numbers, for tests.
    Tiny,
    /// Some 10⁵ elements or 10⁷ operations.
    Small,
    /// Some 10⁶ elements or 10⁸ operations.
    Medium,
    /// Some 10⁷ elements or 10⁹ operations.
    Large,
}

/// One public operation.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The method of `Tensor` or `Graph`.
    pub name: &'static str,
    /// PyTorch's name for it, or empty.
    pub torch: &'static str,
    /// What it computes, in one line.
    pub formula: &'static str,
    build: Build,
}

#[derive(Clone, Copy, Debug)]
enum Build {
    One(fn(&Example) -> Tensor),
    Several(fn(&Example) -> Vec<Tensor>),
}

impl Entry {
    /// An operation with one result.
    pub const fn new(
        name: &'static str,
        torch: &'static str,
        formula: &'static str,
        build: fn(&Example) -> Tensor,
    ) -> Entry {
        Entry { name, torch, formula, build: Build::One(build) }
    }

    /// An operation with several results, or one shown in several forms.
    pub const fn several(
        name: &'static str,
        torch: &'static str,
        formula: &'static str,
        build: fn(&Example) -> Vec<Tensor>,
    ) -> Entry {
        Entry { name, torch, formula, build: Build::Several(build) }
    }

    /// Its example at a size, for an element type.
    pub fn example(&self, size: Size, dtype: DType) -> Example {
        let mut example = Example {
            graph: Graph::new(Mode::Train),
            dtype,
            size,
            inputs: RefCell::new(Vec::new()),
            outputs: Vec::new(),
        };
        example.outputs = match self.build {
            Build::One(build) => vec![build(&example)],
            Build::Several(build) => build(&example),
        };
        example
    }
}

/// Numbers an input of an example is filled with.
#[derive(Clone, Debug)]
enum Fill {
    /// What the operation takes.
    Floats(Range<f32>),
    /// What a loss multiplies its results by.
    Weights,
    /// Whole numbers from 0.
    Indices(usize),
}

#[derive(Clone, Debug)]
struct Input {
    name: String,
    tensor: Tensor,
    fill: Fill,
}

impl Input {
    fn is_float(&self) -> bool {
        matches!(self.fill, Fill::Floats(_))
    }
}

/// A graph with one operation in it.
#[derive(Debug)]
pub struct Example {
    graph: Graph,
    dtype: DType,
    size: Size,
    inputs: RefCell<Vec<Input>>,
    outputs: Vec<Tensor>,
}

impl Example {
    /// Its graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The element type it is built for.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the operation returns.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// The floating point tensors it takes, the ones gradients are asked for.
    pub fn floats(&self) -> Vec<Tensor> {
        self.inputs.borrow().iter().filter(|input| input.is_float()).map(|input| input.tensor.clone()).collect()
    }

    /// The names of [`floats`](Example::floats), in the same order.
    pub fn names_of_floats(&self) -> Vec<String> {
        self.inputs.borrow().iter().filter(|input| input.is_float()).map(|input| input.name.clone()).collect()
    }

    /// One of four numbers, by size.
    pub fn pick<T>(&self, tiny: T, small: T, medium: T, large: T) -> T {
        match self.size {
            Size::Tiny => tiny,
            Size::Small => small,
            Size::Medium => medium,
            Size::Large => large,
        }
    }

    /// Whether it is for tests: the size at which all forms of an operation are shown.
    pub fn is_tiny(&self) -> bool {
        self.size == Size::Tiny
    }

    /// Several forms of an operation: all of them for tests, the first one for measurements.
    pub fn forms(&self, mut outputs: Vec<Tensor>) -> Vec<Tensor> {
        if !self.is_tiny() {
            outputs.truncate(1);
        }
        outputs
    }

    /// A vector: 35, 2¹⁷, 2²⁰ or 2²³ elements.
    pub fn vector(&self) -> Tensor {
        self.x([self.elements()])
    }

    /// How long [`vector`](Example::vector) is.
    pub fn elements(&self) -> usize {
        self.pick(35, 1 << 17, 1 << 20, 1 << 23)
    }

    /// A tensor with numbers between −1 and 1.
    pub fn x(&self, shape: impl Into<Shape>) -> Tensor {
        self.within(shape, -1.0..1.0)
    }

    /// A tensor with numbers between 0.25 and 2.
    pub fn positive(&self, shape: impl Into<Shape>) -> Tensor {
        self.within(shape, 0.25..2.0)
    }

    /// A tensor with numbers of a range.
    pub fn within(&self, shape: impl Into<Shape>, range: Range<f32>) -> Tensor {
        self.add(TensorDesc::new(shape, self.dtype), Fill::Floats(range))
    }

    /// An index tensor with numbers from 0 to `below − 1`.
    pub fn ids(&self, shape: impl Into<Shape>, below: usize) -> Tensor {
        self.add(TensorDesc::new(shape, DType::U32), Fill::Indices(below))
    }

    /// A mask of zeros and ones.
    pub fn mask(&self, shape: impl Into<Shape>) -> Tensor {
        self.ids(shape, 2)
    }

    fn add(&self, desc: TensorDesc, fill: Fill) -> Tensor {
        let mut inputs = self.inputs.borrow_mut();
        let name = format!("x{}", inputs.len());
        let tensor = self.graph.input_of(&name, desc.shape, desc.dtype);
        inputs.push(Input { name, tensor: tensor.clone(), fill });
        tensor
    }

    /// Σ y·w over the floating point results y, with weights w between −1 and 1 for each of their
    /// elements; `None` where there is no such result.
    pub fn loss(&self) -> Option<Tensor> {
        let outputs: Vec<&Tensor> = self.outputs.iter().filter(|tensor| tensor.dtype().is_float()).collect();
        self.weighted(&outputs)
    }

    /// Σ x·w over tensors, with new weights between −1 and 1.
    pub fn weighted(&self, tensors: &[&Tensor]) -> Option<Tensor> {
        let terms = tensors.iter().map(|tensor| {
            let weights = self.add(TensorDesc::new(tensor.shape(), DType::F32), Fill::Weights);
            tensor.cast(DType::F32).mul(&weights).sum_all()
        });
        terms.reduce(|a, b| &a + &b)
    }

    /// The gradients of [`loss`](Example::loss) with respect to [`floats`](Example::floats), those that
    /// are not zero everywhere; empty for an operation without a gradient, of which the graph then knows
    /// the reason.
    pub fn gradients(&self) -> Vec<Tensor> {
        let floats = self.floats();
        let Some(loss) = self.loss() else { return Vec::new() };
        gradients(&loss, &floats).into_iter().flatten().collect()
    }

    /// Writes numbers into all its inputs that the session uses: always the same for the same seed.
    ///
    /// # Errors
    /// Any error of the device.
    pub fn fill(&self, session: &Session, seed: u64) -> Result<(), Error> {
        for (name, array) in self.numbers(seed) {
            if session.plan().variables().iter().any(|variable| *variable.name == *name) {
                session.write(&name, &array?)?;
            }
        }
        Ok(())
    }

    /// Numbers for all its inputs, by name.
    pub fn numbers(&self, seed: u64) -> Vec<(String, Result<Array, Error>)> {
        let mut state = seed;
        let mut next = || {
            // Steele, Lea and Flood's SplitMix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as u32
        };
        let inputs = self.inputs.borrow();
        let arrays = inputs.iter().map(|input| {
            let desc = input.tensor.desc();
            let count = desc.shape.numel();
            let mut floats = |range: Range<f32>| {
                let width = range.end - range.start;
                (0..count).map(|_| range.start + width * (next() as f32 / (1u32 << 24) as f32)).collect::<Vec<f32>>()
            };
            let array = match &input.fill {
                Fill::Floats(range) => Array::from_f32_as(desc.dtype, desc.shape, &floats(range.clone())),
                Fill::Weights => Array::from_f32_as(desc.dtype, desc.shape, &floats(-1.0..1.0)),
                Fill::Indices(below) => {
                    let ids: Vec<u32> = (0..count).map(|_| next() % (*below).max(1) as u32).collect();
                    Array::from_u32(desc.shape, &ids)
                }
            };
            (input.name.clone(), array)
        });
        arrays.collect()
    }
}
