//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

macro_rules! ops {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// The names of all operations' files.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

mod rows;

ops! {
    argmax
    concat
    cross_entropy
    embedding
    increment
    layer_norm
    permute
    random
    reduce
    reshape
    slice
    softmax
}

pub use cross_entropy::{CrossEntropy, Reduction};
