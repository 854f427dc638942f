//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

mod map;
mod operators;
mod rows;

/// Declares the files of the operations: one word each, in alphabetical order.
macro_rules! ops {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// The names of all operations' files.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

pub use conv2d::Conv2d;
pub use max_pool2d::MaxPool2d;
pub use recurrent::{Cell, Recurrence, Recurrent, RecurrentWeights};

ops! {
    abs
    activation
    adam
    add
    argmax
    assign
    cast
    ceil
    clamp
    clip
    compare
    concat
    conv2d
    cos
    cross_entropy
    detach
    div
    dropout
    embedding
    erf
    exp
    expand
    expm1
    floor
    full
    gelu
    gelu_tanh
    increment
    layer_norm
    log
    log1p
    logical
    matmul
    max_pool2d
    maximum
    minimum
    mul
    neg
    permute
    pow
    random
    recip
    recurrent
    reduce
    relu
    reshape
    round
    rsqrt
    schedule
    sgd
    sigmoid
    sign
    silu
    sin
    slice
    softmax
    softplus
    sqrt
    square
    sub
    tanh
    where_
}

pub use cross_entropy::{CrossEntropy, Reduction};
