//! The handle by which a network is written.

use super::{Graph, ValueId};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::{Error, ErrorKind},
};
use std::fmt;

/// A value of a graph: shape, element type and origin. Its numbers exist only in a session.
///
/// Cheap to clone. Operations are methods; arithmetic is also operators, between tensors and with
/// numbers. Each operation's file under `ops` documents its method.
#[derive(Clone)]
pub struct Tensor {
    pub(crate) graph: Graph,
    pub(crate) value: ValueId,
}

impl Tensor {
    /// The graph it belongs to.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The value's number in the graph.
    pub fn id(&self) -> ValueId {
        self.value
    }

    /// Whether it stands for a mistake made earlier in the graph.
    pub fn is_failed(&self) -> bool {
        self.value == ValueId::FAILED
    }

    /// Shape and element type; an empty `f32` for a failed tensor.
    pub fn desc(&self) -> TensorDesc {
        if self.is_failed() { TensorDesc::new([0], DType::F32) } else { self.graph.data().desc(self.value).clone() }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.desc().shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.desc().dtype
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape().rank()
    }

    /// The size of a dimension, counted from the back when negative; 1, and a recorded mistake, where
    /// there is none.
    #[track_caller]
    pub fn size(&self, dim: isize) -> usize {
        match self.shape().axis(dim) {
            Ok(axis) => self.shape()[axis],
            Err(_) if self.is_failed() => 1,
            Err(misfit) => {
                self.graph.fail(misfit.of("size"));
                1
            }
        }
    }

    /// The sizes of a tensor whose dimensions have names, or `None` and a recorded mistake.
    ///
    /// ```
    /// # use wgrad::prelude::*;
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 3, 32, 32]);
    /// let Some([n, c, h, w]) = x.dims("image", ["N", "C", "H", "W"]) else { return };
    /// assert_eq!((n, c, h, w), (8, 3, 32, 32));
    /// ```
    #[track_caller]
    pub fn dims<const N: usize>(&self, what: &str, names: [&str; N]) -> Option<[usize; N]> {
        if self.is_failed() {
            return None;
        }
        let shape = self.shape();
        if let Ok(sizes) = <[usize; N]>::try_from(&shape[..]) {
            Some(sizes)
        } else {
            let message = format!("{what}: needs dimensions [{}], not shape {shape}", names.join(", "));
            self.graph.fail(Error::new(ErrorKind::Shape, message));
            None
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_failed() {
            f.write_str("Tensor(failed)")
        } else {
            write!(f, "Tensor({}, {})", self.value.0, self.desc())
        }
    }
}
