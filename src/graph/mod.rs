//! Networks as graphs of plain data: values, and the operations between them in writing order.

mod build;
mod op;
mod print;
mod summary;
mod tensor;

pub(crate) use build::{Continuing, GraphData, Node, Source};
pub use build::{Graph, Init, Mode, Role, Variable};
pub use op::{Backward, Draws, Emit, Gradients, Io, Op, Pointwise, Precision, Scalar};
pub(crate) use op::{fit, too_large};
pub use summary::LayerSummary;
pub use tensor::Tensor;

/// Names a value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// What a failed build returns: no value.
    pub(crate) const FAILED: ValueId = ValueId(u32::MAX);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names a node of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
