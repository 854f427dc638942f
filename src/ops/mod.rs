//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

mod map;
mod operators;

/// Declares the files of the operations: one word each, in alphabetical order.
macro_rules! ops {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// The names of all operations' files.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

ops! {
    abs
    adam
    add
    assign
    cast
    clamp
    clip
    compare
    detach
    div
    dropout
    erf
    exp
    expand
    full
    gelu
    gelu_tanh
    increment
    log
    logical
    maximum
    minimum
    mul
    neg
    pow
    random
    recip
    relu
    rsqrt
    schedule
    sgd
    sigmoid
    sign
    silu
    softplus
    sqrt
    square
    sub
    tanh
    where_
}
