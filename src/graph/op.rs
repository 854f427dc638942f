//! What an operation is: a shape rule, dispatches, and a gradient.

use super::{Tensor, ValueId};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    kernel::{Dispatch, Shader, Target},
};
use smallvec::SmallVec;
use std::{any::Any, fmt::Debug, ops::Range};

/// One operation: one file under `src/ops`, one WGSL file of the same name.
///
/// `Debug` must show every attribute: nodes of the same type, text and inputs are merged.
pub trait Op: Any + Debug + Send + Sync {
    /// The name messages use.
    fn name(&self) -> &'static str;

    /// How many values it returns.
    fn outputs(&self) -> usize {
        1
    }

    /// The shape rule: what it returns for these inputs.
    ///
    /// # Errors
    /// Why the inputs do not fit, with the shapes that clash.
    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit>;

    /// Adds the dispatches that compute its outputs. Not called for pointwise operations and views.
    ///
    /// # Errors
    /// The limit of the target that its values exceed.
    fn emit(&self, _io: &Io, _target: &Target, _out: &mut Emit) -> Result<(), Misfit> {
        Err(Misfit::limit("has neither `emit` nor `pointwise`"))
    }

    /// For an operation whose outputs can be computed part by part along their first dimensions, each part from the same
    /// part of some inputs and from all of the others: for each input, along how many of its first dimensions; 0 where
    /// all of it is needed. Values larger than one binding are computed so, each along the first of its dimensions that
    /// is not 1. `emit` must then take all sizes from its `Io`.
    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        None
    }

    /// For an operation whose outputs are sums over the first dimensions of some inputs: how many these are for each
    /// input, 0 where it has none of them. Values larger than one binding are summed part by part. `emit` must then take
    /// all sizes from its `Io`.
    fn summed(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        None
    }

    /// The gradient rule, written with graph operations.
    ///
    /// The default has none: asking for it is an error that names the operation.
    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::none()
    }

    /// For an operation that computes each element of its only output from the elements at the same
    /// index of its (broadcast) inputs: the WGSL function that does it. Such operations are fused.
    fn pointwise(&self) -> Option<Pointwise> {
        None
    }

    /// An output and an input that share memory: the operation changes a value in place.
    fn overwrites(&self) -> Option<(usize, usize)> {
        None
    }

    /// Which element type it works in where [`Graph::mixed`](super::Graph::mixed) decides.
    fn precision(&self) -> Precision {
        Precision::Any
    }

    /// Whether the only output is the first input's bytes under another shape: nothing is dispatched.
    fn is_view(&self) -> bool {
        false
    }
}

/// The element type an operation works in within [`Graph::mixed`](super::Graph::mixed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// That of its inputs; `f16` where they have both.
    Any,
    /// `f16`: products, whose sums are `f32` all the same.
    Half,
    /// `f32`: sums, losses, and functions that soon leave the range of `f16`.
    Single,
}

/// A number that a pointwise function gets after its inputs; it lives in a uniform, so another
/// number needs no other pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// An `f32` argument.
    F32(f32),
    /// A `u32` argument.
    U32(u32),
}

/// The WGSL function of a pointwise operation.
///
/// Its parameters are one element of each input (`f32` for floating point tensors of either width,
/// `u32` for index tensors), then the scalars, then the element's index if it asks for it. It
/// returns `f32` or `u32` as its output is.
#[derive(Clone, Debug)]
pub struct Pointwise {
    /// The file that defines the function.
    pub shader: &'static Shader,
    /// The function's name.
    pub function: &'static str,
    /// The scalars.
    pub scalars: SmallVec<[Scalar; 4]>,
    /// Whether it wants the element's index in its output as last argument.
    pub index: bool,
    /// The random words it wants as last arguments, instead of the inputs they follow from.
    pub draws: Option<Draws>,
}

/// Four random words, which four neighbouring elements share: the result of a function of the file, or of what it
/// imports, called with some of the operation's inputs, scalars, and the number of the four.
///
/// The operation's own function takes the words and which of the four elements is its own, from 0 to 3.
#[derive(Clone, Debug)]
pub struct Draws {
    /// The function's name.
    pub function: &'static str,
    /// Which of the operation's inputs it takes.
    pub inputs: Range<usize>,
    /// The scalars.
    pub scalars: SmallVec<[Scalar; 4]>,
}

impl Pointwise {
    /// The function `function` of a file.
    pub fn new(shader: &'static Shader, function: &'static str) -> Pointwise {
        Pointwise { shader, function, scalars: SmallVec::new(), index: false, draws: None }
    }

    /// The same with one more `f32` argument.
    pub fn scalar(mut self, value: f32) -> Pointwise {
        self.scalars.push(Scalar::F32(value));
        self
    }

    /// The same with one more `u32` argument.
    pub fn scalar_u32(mut self, value: u32) -> Pointwise {
        self.scalars.push(Scalar::U32(value));
        self
    }

    /// The same with the element's index as last argument.
    pub fn indexed(mut self) -> Pointwise {
        self.index = true;
        self
    }

    /// The same with the words that `function` of the file, or of what it imports, draws, given some of the inputs and its own scalars.
    pub fn drawing(mut self, function: &'static str, inputs: Range<usize>, scalars: &[u32]) -> Pointwise {
        self.draws = Some(Draws { function, inputs, scalars: scalars.iter().map(|&word| Scalar::U32(word)).collect() });
        self
    }

    /// The shape rule of pointwise operations: all inputs broadcast, floats of one type.
    ///
    /// # Errors
    /// Shapes that do not broadcast, mixed element types, or index tensors.
    pub fn infer(inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let mut desc = inputs[0].clone();
        if !desc.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {desc}")));
        }
        for input in &inputs[1..] {
            if input.dtype != desc.dtype {
                return Err(Misfit::dtype(format!("mixes {desc} and {input}")));
            }
            desc.shape = desc.shape.broadcast(&input.shape)?;
        }
        Ok(vec![desc])
    }
}

/// The values an operation's dispatches read and write.
#[derive(Debug)]
pub struct Io {
    pub(crate) inputs: Vec<(ValueId, TensorDesc)>,
    pub(crate) outputs: Vec<(ValueId, TensorDesc)>,
    pub(crate) first: SmallVec<[usize; 4]>,
}

impl Io {
    /// All of some values.
    pub(crate) fn new(inputs: Vec<(ValueId, TensorDesc)>, outputs: Vec<(ValueId, TensorDesc)>) -> Io {
        Io { inputs, outputs, first: SmallVec::new() }
    }

    /// Where the values begin along one of their first dimensions, if they are a part: see [`Op::batched`].
    pub fn first(&self, dim: usize) -> usize {
        self.first.get(dim).copied().unwrap_or(0)
    }

    /// The `i`-th input.
    pub fn x(&self, i: usize) -> ValueId {
        self.inputs[i].0
    }

    /// The `i`-th output.
    pub fn y(&self, i: usize) -> ValueId {
        self.outputs[i].0
    }

    /// The description of the `i`-th input.
    pub fn x_desc(&self, i: usize) -> &TensorDesc {
        &self.inputs[i].1
    }

    /// The description of the `i`-th output.
    pub fn y_desc(&self, i: usize) -> &TensorDesc {
        &self.outputs[i].1
    }

    /// The shape of the `i`-th input.
    pub fn x_shape(&self, i: usize) -> &Shape {
        &self.inputs[i].1.shape
    }

    /// The shape of the `i`-th output.
    pub fn y_shape(&self, i: usize) -> &Shape {
        &self.outputs[i].1.shape
    }

    /// The floating point type of the first input that has one, else of the first output.
    pub fn real(&self) -> DType {
        let all = self.inputs.iter().chain(&self.outputs);
        all.map(|(_, desc)| desc.dtype).find(|dtype| dtype.is_float()).unwrap_or(DType::F32)
    }

    /// Bytes of all inputs and outputs.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().chain(&self.outputs).map(|(_, desc)| desc.bytes()).sum()
    }

    /// Refuses values that one binding of the target cannot cover.
    ///
    /// # Errors
    /// The first such value and the limit.
    pub fn fits(&self, target: &Target) -> Result<(), Misfit> {
        fit(self.inputs.iter().chain(&self.outputs).map(|(_, desc)| desc), target)
    }
}

/// Refuses values that must be bound whole but cannot be.
pub(crate) fn fit<'a>(descs: impl IntoIterator<Item = &'a TensorDesc>, target: &Target) -> Result<(), Misfit> {
    let large = descs.into_iter().find(|desc| desc.bytes() > target.max_binding_bytes);
    large.map_or(Ok(()), |desc| Err(too_large(desc, target)))
}

/// Why a value that must be bound whole cannot be.
pub(crate) fn too_large(desc: &TensorDesc, target: &Target) -> Misfit {
    let (bytes, limit) = (desc.bytes(), target.max_binding_bytes);
    Misfit::limit(format!("{desc} has {bytes} bytes, one binding of this device covers {limit}"))
}

/// Collects an operation's dispatches and the scratch values between them.
#[derive(Debug)]
pub struct Emit {
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) scratch: Vec<(ValueId, TensorDesc)>,
    pub(crate) next: u32,
}

impl Emit {
    pub(crate) fn new(next: u32) -> Emit {
        Emit { dispatches: Vec::new(), scratch: Vec::new(), next }
    }

    /// Adds a dispatch.
    pub fn push(&mut self, dispatch: Dispatch) {
        self.dispatches.push(dispatch);
    }

    /// A value that lives between dispatches of this operation only.
    pub fn scratch(&mut self, desc: TensorDesc) -> ValueId {
        let value = ValueId(self.next);
        self.next += 1;
        self.scratch.push((value, desc));
        value
    }
}

/// What a gradient rule sees: a node's inputs, outputs and the gradients of its outputs.
#[derive(Debug)]
pub struct Backward {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<Tensor>,
    pub(crate) gradients: Vec<Option<Tensor>>,
    pub(crate) needs: Vec<bool>,
}

impl Backward {
    /// The `i`-th input.
    pub fn x(&self, i: usize) -> &Tensor {
        &self.inputs[i]
    }

    /// The `i`-th output.
    pub fn y(&self, i: usize) -> &Tensor {
        &self.outputs[i]
    }

    /// The gradient of the loss with respect to the `i`-th output; zeros where it has no influence.
    pub fn dy(&self, i: usize) -> Tensor {
        if let Some(gradient) = &self.gradients[i] {
            gradient.clone()
        } else {
            let y = &self.outputs[i];
            y.graph().constant(0.0, y.dtype()).expand(y.shape())
        }
    }

    /// Whether the loss depends on the `i`-th output at all.
    pub fn has(&self, i: usize) -> bool {
        self.gradients[i].is_some()
    }

    /// Whether anyone asks for the gradient of the `i`-th input.
    pub fn needs(&self, i: usize) -> bool {
        self.needs[i]
    }
}

/// What a gradient rule returns.
#[derive(Debug)]
pub struct Gradients(pub(crate) Option<Vec<Option<Tensor>>>);

impl Gradients {
    /// The operation has no gradient; asking for one is an error.
    pub fn none() -> Gradients {
        Gradients(None)
    }

    /// One gradient for each input; `None` for an input through which no gradient flows (an index,
    /// a mask) or for which [`Backward::needs`] is false.
    pub fn of(gradients: impl IntoIterator<Item = Option<Tensor>>) -> Gradients {
        Gradients(Some(gradients.into_iter().collect()))
    }
}
