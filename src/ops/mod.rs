//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

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

pub use avg_pool::{AvgPool, AvgPool1d, AvgPool2d, AvgPool3d};
pub use conv2d::Conv2d;
pub use interpolate::Interpolation;
pub use max_pool::{MaxPool, MaxPool1d, MaxPool2d, MaxPool3d};
pub use pad::PadMode;
pub use unfold::Unfold;

ops! {
    abs
    adam
    add
    argmax
    assign
    avg_pool
    cast
    clamp
    clip
    compare
    concat
    conv2d
    cross_entropy
    detach
    div
    dropout
    embedding
    erf
    exp
    expand
    full
    gelu
    gelu_tanh
    increment
    interpolate
    layer_norm
    log
    logical
    matmul
    max_pool
    maximum
    minimum
    mul
    neg
    pad
    permute
    pow
    random
    recip
    reduce
    relu
    reshape
    rsqrt
    schedule
    sgd
    sigmoid
    sign
    silu
    slice
    softmax
    softplus
    sqrt
    square
    sub
    tanh
    unfold
    where_
}

pub use cross_entropy::{CrossEntropy, Reduction};
