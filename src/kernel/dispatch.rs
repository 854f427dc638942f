//! Dispatches: one run of a kernel over buffers, as data.

use super::Kernel;
use crate::graph::ValueId;

/// The bytes of a value that a kernel binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The value.
    pub value: ValueId,
    /// Where the range begins, in bytes; a multiple of [`Target::offset_alignment`](super::Target).
    pub offset: u64,
    /// The bytes of the range; `None` up to the value's end.
    pub bytes: Option<u64>,
}

impl From<ValueId> for Slice {
    fn from(value: ValueId) -> Slice {
        Slice { value, offset: 0, bytes: None }
    }
}

/// One argument of a dispatch, for one `@binding` of the kernel's entry point.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// `var<storage, read>`.
    Read(Slice),
    /// `var<storage, read_write>` whose old contents do not matter (or are added to by a later part of the same op).
    Write(Slice),
    /// `var<storage, read_write>` of a value that is changed in place: the old value and the new one.
    Update(Slice, ValueId),
    /// `var<uniform>`: sizes, strides, scalars.
    Params(Params),
}

/// The bytes of one uniform structure, written field by field in WGSL's order.
///
/// Every field is a 4-byte scalar; a `vec4` is four of them at a multiple of four fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params(Vec<u32>);

impl Params {
    /// No fields yet.
    pub fn new() -> Params {
        Params::default()
    }

    /// Appends an unsigned integer.
    ///
    /// Sizes are checked when a graph is written: no value has more than `u32::MAX` elements.
    pub fn u32(mut self, value: usize) -> Params {
        self.0.push(value as u32);
        self
    }

    /// Appends a signed integer.
    pub fn i32(mut self, value: isize) -> Params {
        self.0.push(value as i32 as u32);
        self
    }

    /// Appends a float.
    pub fn f32(mut self, value: f32) -> Params {
        self.0.push(value.to_bits());
        self
    }

    /// Appends raw bits.
    pub fn bits(mut self, value: u32) -> Params {
        self.0.push(value);
        self
    }

    /// Appends several unsigned integers.
    pub fn all(mut self, values: impl IntoIterator<Item = usize>) -> Params {
        self.0.extend(values.into_iter().map(|value| value as u32));
        self
    }

    /// The fields, padded to a multiple of 16 bytes as a uniform structure needs.
    pub fn words(&self) -> Vec<u32> {
        let mut words = self.0.clone();
        words.resize(words.len().next_multiple_of(4).max(4), 0);
        words
    }
}

/// What a dispatch costs on paper.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating point operations; a fused multiply-add counts as two.
    pub flops: u64,
    /// Bytes read and written once each, caches ignored.
    pub bytes: u64,
}

/// One run of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// What runs.
    pub kernel: Kernel,
    /// What it binds, in the order of the binding numbers its entry point uses.
    pub args: Vec<Arg>,
    /// How many workgroups run.
    pub workgroups: [u32; 3],
    /// What it costs.
    pub cost: Cost,
    /// Whether it stores each element of the op's first output exactly once through `chain`.
    pub finishes: bool,
    /// Whether it then stores vectors only, by `store4` and at multiples of four elements.
    pub vectors: bool,
}

impl Dispatch {
    /// A dispatch of a kernel; arguments, size and cost follow.
    pub fn new(kernel: Kernel) -> Dispatch {
        let (args, cost) = (Vec::new(), Cost::default());
        Dispatch { kernel, args, workgroups: [1, 1, 1], cost, finishes: false, vectors: false }
    }

    /// Binds a value (or a range of it) for reading.
    pub fn read(mut self, slice: impl Into<Slice>) -> Dispatch {
        self.args.push(Arg::Read(slice.into()));
        self
    }

    /// Binds a value (or a range of it) for writing.
    pub fn write(mut self, slice: impl Into<Slice>) -> Dispatch {
        self.args.push(Arg::Write(slice.into()));
        self
    }

    /// Binds the uniform structure.
    pub fn params(mut self, params: Params) -> Dispatch {
        self.args.push(Arg::Params(params));
        self
    }

    /// Runs `count` workgroups, folded over x and y where they exceed one dimension's limit.
    ///
    /// The kernel finds its number with `workgroup_index` of `lib/index.wgsl` and returns early for
    /// numbers past the end.
    pub fn groups(mut self, count: u64) -> Dispatch {
        const WIDEST: u64 = 65_535;
        let y = count.div_ceil(WIDEST).max(1);
        self.workgroups = [count.div_ceil(y) as u32, y as u32, 1];
        self
    }

    /// Runs a grid of workgroups; each side is at most 65,535.
    pub fn grid(mut self, workgroups: [usize; 3]) -> Dispatch {
        self.workgroups = workgroups.map(|n| n as u32);
        self
    }

    /// Says what the dispatch costs.
    pub fn cost(mut self, flops: u64, bytes: u64) -> Dispatch {
        self.cost = Cost { flops, bytes };
        self
    }

    /// Says that it stores each element of the op's first output exactly once through `chain`.
    pub fn finishing(mut self) -> Dispatch {
        self.finishes = true;
        self
    }

    /// Says whether it stores vectors only, by `store4` and at multiples of four elements: what is fused into it then
    /// reads and writes vectors too.
    pub fn storing_vectors(mut self, vectors: bool) -> Dispatch {
        self.vectors = vectors;
        self
    }
}
