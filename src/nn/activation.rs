//! Functions of each element, or of each row, as layers.

use super::Layer;
use crate::{error::Place, graph::Tensor};

/// A layer without parameters.
#[derive(Clone, Copy, Debug)]
pub struct Activation {
    function: fn(&Tensor) -> Tensor,
    place: Place,
}

impl Layer for Activation {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || (self.function)(x))
    }
}

macro_rules! activations {
    ($($(#[$docs:meta])* $name:ident => $function:expr;)*) => {
        $($(#[$docs])*
        #[track_caller]
        pub fn $name() -> Activation {
            Activation { function: $function, place: Place::here() }
        })*
    };
}

activations! {
    /// max(0, x).
    relu => |x| x.relu();
    /// x·Φ(x) with the normal distribution's Φ (Hendrycks and Gimpel 2016), by the error function.
    gelu => |x| x.gelu();
    /// The approximation of [`gelu`] by tanh that GPT-2 uses.
    gelu_tanh => |x| x.gelu_tanh();
    /// 1/(1 + e^−x).
    sigmoid => |x| x.sigmoid();
    /// tanh x.
    tanh => |x| x.tanh();
    /// x·sigmoid(x), also called swish.
    silu => |x| x.silu();
    /// log(1 + e^x).
    softplus => |x| x.softplus();
    /// e^x over its sum along the last dimension.
    softmax => |x| x.softmax(-1);
    /// The logarithm of [`softmax`].
    log_softmax => |x| x.log_softmax(-1);
}
