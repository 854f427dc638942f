//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

mod operators;

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
