//! Shapes: the sizes of a tensor's dimensions, row-major, known at run time.

use super::DType;
use crate::error::Misfit;
use smallvec::SmallVec;
use std::{fmt, ops::Deref};

/// The sizes of a tensor's dimensions. The last dimension is contiguous in memory.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Shape {
    /// The shape of a single number: no dimensions.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// The number of elements; 1 for a scalar. Saturates instead of wrapping around.
    pub fn numel(&self) -> usize {
        if self.0.contains(&0) { 0 } else { self.0.iter().fold(1, |n: usize, &d| n.saturating_mul(d)) }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> SmallVec<[usize; 6]> {
        let mut strides: SmallVec<[usize; 6]> = SmallVec::from_elem(1, self.rank());
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }

    /// A dimension counted from the front, or from the back when negative, as in PyTorch.
    ///
    /// # Errors
    /// A dimension the shape does not have.
    pub fn axis(&self, dim: isize) -> Result<usize, Misfit> {
        let rank = self.rank() as isize;
        let axis = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&axis) {
            Ok(axis as usize)
        } else {
            Err(Misfit::shape(format!("dimension {dim} is outside shape {self}")))
        }
    }

    /// The common shape of two operands under NumPy's broadcasting rule.
    ///
    /// # Errors
    /// Sizes that differ and are not 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape, Misfit> {
        let rank = self.rank().max(other.rank());
        let at = |shape: &Shape, i: usize| (i + shape.rank()).checked_sub(rank).map_or(1, |k| shape.0[k]);
        let mut out = SmallVec::with_capacity(rank);
        for i in 0..rank {
            out.push(match (at(self, i), at(other, i)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return Err(Misfit::shape(format!("shapes {self} and {other} do not broadcast"))),
            });
        }
        Ok(Shape(out))
    }

    /// The strides with which an array of this shape is read at indices of the larger shape `to`:
    /// 0 along repeated dimensions. `to` must be a broadcast of this shape.
    pub fn broadcast_strides(&self, to: &Shape) -> SmallVec<[usize; 6]> {
        let own = self.strides();
        (0..to.rank())
            .map(|i| match (i + self.rank()).checked_sub(to.rank()) {
                Some(k) if self.0[k] != 1 => own[k],
                _ => 0,
            })
            .collect()
    }

    /// The product of the sizes before `axis`, the size at `axis`, and the product of those after.
    pub fn split_at_axis(&self, axis: usize) -> [usize; 3] {
        let product = |sizes: &[usize]| sizes.iter().product();
        [product(&self.0[..axis]), self.0[axis], product(&self.0[axis + 1..])]
    }

    /// The shape with one size replaced.
    pub fn with(&self, axis: usize, size: usize) -> Shape {
        let mut shape = self.clone();
        shape.0[axis] = size;
        shape
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Shape {
        Shape(SmallVec::from_slice(&sizes))
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        Shape(SmallVec::from_slice(sizes))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Shape {
        Shape(SmallVec::from_vec(sizes))
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Shape {
        Shape(sizes.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shape and element type: all that is known of a tensor before a device exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorDesc {
    /// The sizes of the dimensions.
    pub shape: Shape,
    /// The type of the elements.
    pub dtype: DType,
}

impl TensorDesc {
    /// A description from its parts.
    pub fn new(shape: impl Into<Shape>, dtype: DType) -> TensorDesc {
        TensorDesc { shape: shape.into(), dtype }
    }

    /// Bytes of the elements, without padding.
    pub fn bytes(&self) -> u64 {
        self.shape.numel() as u64 * self.dtype.bytes() as u64
    }
}

impl fmt::Display for TensorDesc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let shape = |sizes: &[usize]| Shape::from(sizes);
        assert_eq!(shape(&[3, 1]).broadcast(&shape(&[2])).unwrap(), shape(&[3, 2]));
        assert_eq!(shape(&[]).broadcast(&shape(&[4, 5])).unwrap(), shape(&[4, 5]));
        assert_eq!(shape(&[0]).broadcast(&shape(&[1])).unwrap(), shape(&[0]));
        let clash = shape(&[3, 2]).broadcast(&shape(&[3])).unwrap_err();
        assert_eq!(clash.reason, "shapes [3, 2] and [3] do not broadcast");
        assert_eq!(shape(&[3, 1]).broadcast_strides(&shape(&[2, 3, 4])).as_slice(), [0, 1, 0]);
    }

    #[test]
    fn axes_count_from_both_ends() {
        let shape = Shape::from([2, 3]);
        assert_eq!(shape.axis(-1).unwrap(), 1);
        assert_eq!(shape.axis(0).unwrap(), 0);
        assert!(shape.axis(2).is_err() && shape.axis(-3).is_err());
    }
}
