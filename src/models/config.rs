//! What a Hugging Face model's `config.json` says.

use crate::{
    error::{Error, ErrorKind},
    graph::{Init, Variable},
    nn::{Activation, gelu, gelu_tanh, relu, silu, tanh},
};
use serde_json::Value;

/// A `config.json`.
pub(super) struct Config(Value);

fn refuse(reason: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("config.json: {reason}"))
}

impl Config {
    pub fn parse(text: &str) -> Result<Config, Error> {
        let value = serde_json::from_str(text).map_err(|error| refuse(format!("is no JSON: {error}")).caused_by(error));
        value.map(Config)
    }

    /// A whole number that must be there.
    pub fn size(&self, key: &str) -> Result<usize, Error> {
        let number = self.0.get(key).and_then(Value::as_u64);
        number.map(|number| number as usize).ok_or_else(|| refuse(format!("needs a whole number {key}")))
    }

    /// A whole number, or what stands for it where it is missing or null.
    pub fn size_or(&self, key: &str, other: usize) -> Result<usize, Error> {
        if self.0.get(key).is_none_or(Value::is_null) { Ok(other) } else { self.size(key) }
    }

    /// A number, or what stands for it where it is missing or null.
    pub fn number_or(&self, key: &str, other: f32) -> Result<f32, Error> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(other),
            Some(value) => {
                let number = value.as_f64().ok_or_else(|| refuse(format!("{key} is {value}, which is no number")))?;
                Ok(number as f32)
            }
        }
    }

    /// Whether a key is true; a missing one is not.
    pub fn is(&self, key: &str) -> bool {
        self.0.get(key) == Some(&Value::Bool(true))
    }

    /// A function by its name in `transformers`.
    pub fn activation(&self, key: &str, other: &str) -> Result<Activation, Error> {
        match self.0.get(key).and_then(Value::as_str).unwrap_or(other) {
            "gelu" => Ok(gelu()),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(gelu_tanh()),
            "relu" => Ok(relu()),
            "silu" | "swish" => Ok(silu()),
            "tanh" => Ok(tanh()),
            name => Err(refuse(format!("{key} {name:?} is not one of gelu, gelu_new, relu, silu, swish, tanh"))),
        }
    }
}

/// The initial values of `transformers`: N(0, std²) for matrices, but for the row of padding, and 0 for biases.
pub(super) fn initial(std: f32) -> impl Fn(&Variable) -> Option<Init> {
    move |variable| match variable.init {
        Some(Init::NormalBut { row, .. }) => Some(Init::NormalBut { std, row }),
        _ if variable.desc.shape.rank() > 1 => Some(Init::normal(std)),
        _ => variable.name.ends_with("bias").then(Init::zeros),
    }
}
