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
pub use embedding::Embedding;
pub use max_pool2d::MaxPool2d;

ops! {
    abs
    adam
    add
    arange
    argmax
    assign
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
    gather
    gelu
    gelu_tanh
    increment
    layer_norm
    log
    logical
    masked_fill
    matmul
    max_pool2d
    maximum
    minimum
    mul
    neg
    one_hot
    permutation
    permute
    pow
    random
    recip
    reduce
    relu
    repeat
    reshape
    roll
    rsqrt
    scan
    scatter_add
    schedule
    sgd
    sigmoid
    sign
    silu
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
    where_
}

pub use cross_entropy::{CrossEntropy, Reduction};
