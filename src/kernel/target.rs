//! What a device can do, as plain numbers, so that planning needs no device.

use super::Tuning;
use crate::data::DType;
use std::{fmt, sync::Arc};

/// The kind of device, which decides between variants of a kernel and how finely work is cut.
///
/// What a device has beyond the baseline is said by [`Target`] on its own: a class promises no feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A driver that runs shaders on the processor: barriers are dear, caches are large.
    Software,
    /// An integrated, virtual or unknown GPU, and every GPU in a browser, which does not say what it is.
    Portable,
    /// A GPU with memory of its own: the same kernels, and work cut for several times as many processors.
    Discrete,
}

impl DeviceClass {
    /// Whether shaders run on the processor.
    pub fn is_software(self) -> bool {
        self == DeviceClass::Software
    }

    /// How many workgroups of 64 threads or more keep a GPU of the class busy.
    pub fn busy(self) -> usize {
        if self == DeviceClass::Discrete { 512 } else { 128 }
    }
}

/// A product that the threads of a subgroup compute together: sums += a·b with a `[m, k]` and b `[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CooperativeMatrix {
    /// Rows of a and of the sums.
    pub m: u32,
    /// Columns of b and of the sums.
    pub n: u32,
    /// Columns of a, rows of b.
    pub k: u32,
    /// The element type of a and b.
    pub factors: DType,
    /// The element type of the sums.
    pub sums: DType,
}

impl CooperativeMatrix {
    /// Squares with so many rows and columns, of factors of a type, summed in `f32`.
    pub fn square(side: u32, factors: DType) -> CooperativeMatrix {
        CooperativeMatrix { m: side, n: side, k: side, factors, sums: DType::F32 }
    }
}

impl fmt::Display for CooperativeMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{} {}->{}", self.m, self.n, self.k, self.factors, self.sums)
    }
}

/// How many vectors of four numbers a row of a texture has that lies over a buffer.
pub(crate) const TEXTURE_ROW: u32 = 4096;

/// The bytes of such a row.
pub(crate) const TEXTURE_ROW_BYTES: u64 = TEXTURE_ROW as u64 * 16;

/// The rows of a texture that lies over so many bytes. Never a power of two: Mesa's software driver compiles a kernel
/// anew for textures of such sizes.
pub(crate) fn texture_rows(bytes: u64) -> u32 {
    let rows = bytes.div_ceil(TEXTURE_ROW_BYTES).max(1) as u32;
    match rows {
        1 | 2 => 3,
        rows => rows + u32::from(rows.is_power_of_two()),
    }
}

/// The device a plan is made for: class, features and limits without any type of wgpu.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The device class.
    pub class: DeviceClass,
    /// Whether subgroup operations may be used.
    pub subgroups: bool,
    /// Whether 16-bit floats may be stored and computed with.
    pub f16: bool,
    /// Whether 64-bit integers may be used: software drivers then read two numbers at a time.
    pub int64: bool,
    /// How many of its buffers a kernel for software drivers may read by way of textures, which lie over them.
    pub textures: u32,
    /// The cooperative matrices that may be used: what the adapter itself lists, never anything else.
    pub cooperative: Vec<CooperativeMatrix>,
    /// The largest range of a buffer one binding may cover, in bytes.
    pub max_binding_bytes: u64,
    /// The largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Storage buffers one kernel may bind.
    pub max_storage_buffers: u32,
    /// Threads of one workgroup.
    pub max_workgroup_threads: u32,
    /// Workgroup memory, in bytes.
    pub max_workgroup_bytes: u32,
    /// Workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// The alignment of a binding's offset, in bytes.
    pub offset_alignment: u64,
    /// What was measured to be fastest on it, beside the rules.
    pub tuning: Arc<Tuning>,
}

impl Target {
    /// What every WebGPU device has: no features, the specification's default limits.
    pub fn baseline() -> Target {
        Target {
            class: DeviceClass::Portable,
            subgroups: false,
            f16: false,
            int64: false,
            textures: 0,
            cooperative: Vec::new(),
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            max_storage_buffers: 8,
            max_workgroup_threads: 256,
            max_workgroup_bytes: 16 << 10,
            max_workgroups: 65_535,
            offset_alignment: 256,
            tuning: Arc::default(),
        }
    }

    /// The side of the largest square cooperative matrices for factors of a type with sums in `f32`; none
    /// on software drivers, where they gain nothing.
    pub fn cooperative_side(&self, factors: DType) -> Option<u32> {
        let listed = |side: &u32| self.cooperative.contains(&CooperativeMatrix::square(*side, factors));
        [16, 8].into_iter().find(listed).filter(|_| !self.class.is_software())
    }

    /// How many rows of so many bytes lie between places where a binding may begin.
    pub fn aligned_rows(&self, row_bytes: u64) -> u64 {
        fn common_divisor(a: u64, b: u64) -> u64 {
            if b == 0 { a } else { common_divisor(b, a % b) }
        }
        self.offset_alignment / common_divisor(self.offset_alignment, row_bytes)
    }

    /// The same device treated as another class: how tests run every variant on one driver.
    pub fn with_class(&self, class: DeviceClass) -> Target {
        Target { class, ..self.clone() }
    }
}
