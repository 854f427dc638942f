//! Numbers on the host.

use super::{DType, Shape, TensorDesc};
use crate::error::{Error, ErrorKind};
use half::f16;

/// A tensor's numbers in host memory, row-major, in the element type they have on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    desc: TensorDesc,
    bytes: Vec<u8>,
}

impl Array {
    /// An array from raw bytes in the machine's (little-endian) order.
    ///
    /// # Errors
    /// When the number of bytes is not that of the description.
    pub fn new(desc: TensorDesc, bytes: Vec<u8>) -> Result<Array, Error> {
        if bytes.len() as u64 == desc.bytes() {
            Ok(Array { desc, bytes })
        } else {
            let message = format!("{} bytes cannot be {desc}, which has {}", bytes.len(), desc.bytes());
            Err(Error::new(ErrorKind::Shape, message))
        }
    }

    /// `f32` numbers of a shape.
    ///
    /// # Errors
    /// When their number is not that of the shape.
    pub fn from_f32(shape: impl Into<Shape>, numbers: &[f32]) -> Result<Array, Error> {
        Array::new(TensorDesc::new(shape, DType::F32), bytemuck::cast_slice(numbers).to_vec())
    }

    /// `u32` numbers of a shape.
    ///
    /// # Errors
    /// When their number is not that of the shape.
    pub fn from_u32(shape: impl Into<Shape>, numbers: &[u32]) -> Result<Array, Error> {
        Array::new(TensorDesc::new(shape, DType::U32), bytemuck::cast_slice(numbers).to_vec())
    }

    /// `f32` numbers of a shape, rounded to the element type `dtype` (truncated for `u32`).
    ///
    /// # Errors
    /// When their number is not that of the shape.
    pub fn from_f32_as(dtype: DType, shape: impl Into<Shape>, numbers: &[f32]) -> Result<Array, Error> {
        let bytes = match dtype {
            DType::F32 => bytemuck::cast_slice(numbers).to_vec(),
            DType::F16 => numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            DType::U32 => numbers.iter().flat_map(|&x| (x as u32).to_le_bytes()).collect(),
        };
        Array::new(TensorDesc::new(shape, dtype), bytes)
    }

    /// Zeros.
    pub fn zeros(desc: TensorDesc) -> Array {
        let bytes = vec![0; desc.bytes() as usize];
        Array { desc, bytes }
    }

    /// Shape and element type.
    pub fn desc(&self) -> &TensorDesc {
        &self.desc
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.desc.shape
    }

    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers as `f32`, converted from whatever type they have.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.desc.dtype {
            DType::F32 => self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            DType::F16 => self.bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            DType::U32 => self.to_u32().into_iter().map(|x| x as f32).collect(),
        }
    }

    /// The numbers as `u32`; floating point numbers are truncated towards zero.
    pub fn to_u32(&self) -> Vec<u32> {
        match self.desc.dtype {
            DType::U32 => self.bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            _ => self.to_f32().into_iter().map(|x| x as u32).collect(),
        }
    }
}
