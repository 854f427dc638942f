//! Element types.

use std::fmt;

/// The type of a tensor's elements.
///
/// Kernels compute and sum in `f32` whatever the storage type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit IEEE floating point.
    F32,
    /// 16-bit IEEE floating point; needs a device with shader `f16` support.
    F16,
    /// 32-bit unsigned integer: indices, classes, token ids, masks (0 or 1), counters.
    U32,
}

impl DType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 => 2,
        }
    }

    /// Whether gradients can flow through values of this type.
    pub fn is_float(self) -> bool {
        self != DType::U32
    }

    /// The name of the type in WGSL.
    pub fn wgsl(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wgsl())
    }
}
