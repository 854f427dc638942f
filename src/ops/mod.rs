//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.
//!
//! What holds for all of them:
//! - **Shapes.** An operation on single elements returns the shape of its operands, which broadcast as NumPy's
//!   and PyTorch's do. Others say in their docs what they take and return. A dimension is counted from the back
//!   where it is negative.
//! - **Element types.** `f32` and `f16`; numbers of 16 bits are summed and computed with in `f32`. Indices and
//!   masks are `u32`; comparisons return 0 or 1.
//! - **Errors.** A method never fails: the first mistake is recorded in the graph with operation, shapes, layer and
//!   line, and returned by [`Graph::check`](crate::graph::Graph::check) and
//!   [`Graph::plan`](crate::graph::Graph::plan). Mixed element types, shapes that do not fit and dimensions that do
//!   not exist are such mistakes, and values that a device cannot hold are found by planning.
//! - **Gradients.** The table says who has one; it is checked against finite differences of the definition. Where
//!   there is none, asking for it is an error that names the operation. NaN and infinities behave as in PyTorch.

mod map;
mod operators;
mod rows;
mod windows;

/// Declares the files of the operations: one word each, in alphabetical order.
macro_rules! ops {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// The names of all operations' files.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

pub use attention::Attention;
pub use avg_pool::{AvgPool, AvgPool1d, AvgPool2d, AvgPool3d};
pub use batch_norm::BatchNorm;
pub use beam_search::BeamSearch;
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Padding, Sides,
};
pub use embedding::Embedding;
pub use interpolate::Interpolation;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use matmul::choices as matmul_choices;
pub use max_pool::{MaxPool, MaxPool1d, MaxPool2d, MaxPool3d};
pub use pad::PadMode;
pub use recurrent::{Cell, Recurrence, Recurrent, RecurrentWeights};
pub use unfold::Unfold;

ops! {
    abs
    activation
    adam
    add
    add_matmul
    arange
    argmax
    assign
    attention
    avg_pool
    batch_norm
    beam_search
    cast
    ceil
    clamp
    clip
    compare
    concat
    conv
    cos
    cross_entropy
    detach
    div
    dropout
    einsum
    embedding
    erf
    exp
    expand
    expm1
    floor
    full
    gather
    gelu
    gelu_tanh
    group_norm
    increment
    interpolate
    layer_norm
    log
    log1p
    logical
    loss_scale
    losses
    masked_fill
    matmul
    max_pool
    maximum
    minimum
    mish
    moments
    movedim
    mul
    neg
    one_hot
    pad
    permutation
    permute
    pow
    random
    recip
    recurrent
    reduce
    relu
    repeat
    reshape
    roll
    round
    rsqrt
    scale_shift
    scan
    scatter_add
    schedule
    sgd
    sigmoid
    sign
    silu
    sin
    slice
    softmax
    softplus
    sort
    split
    sqrt
    square
    sub
    tanh
    tril
    unfold
    where_
}

pub use cross_entropy::CrossEntropy;
pub use losses::{BinaryCrossEntropy, MultiMargin, NllLoss, Reduction};
