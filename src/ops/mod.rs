//! The operations: one file each, with docs, method, shape rule, dispatches, gradient and tests.

macro_rules! ops {
    ($($name:ident)*) => {
        $(mod $name;)*
        /// The names of all operations' files.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

pub use conv2d::Conv2d;

ops! {
    conv2d
    increment
}
