//! What a Hugging Face model's `config.json` says.

use crate::{
    error::{Error, ErrorKind},
    graph::{Init, Variable},
    nn::{Activation, gelu, gelu_tanh, relu, silu, tanh},
};
use serde_json::Value;

/// A structure with the keys of a `config.json`, each with what `transformers` takes where it is missing, and behind
/// `only` keys that change what the model computes, with the one value that is known.
macro_rules! config {
    ($(#[$docs:meta])* $kind:literal $name:ident { $($field:ident: $type:ty = $default:expr,)* }
        only { $($key:ident: $value:expr,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Debug)]
        #[allow(missing_docs)] // named as in config.json
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            /// Reads a Hugging Face `config.json`. What it does not say is as in the default.
            ///
            /// # Errors
            /// Text that is no JSON, another kind of model, a value of another type, an activation that is not known, an
            /// option of the model that is not computed.
            pub fn from_json(text: &str) -> Result<$name, $crate::error::Error> {
                let config = $crate::models::config::Config::parse(text, $kind)?;
                $(config.only(stringify!($key), $value)?;)*
                Ok($name { $($field: config.read(stringify!($field), $default)?,)* })
            }
        }
    };
}
pub(super) use config;

/// A `config.json`.
pub(super) struct Config(Value);

fn refuse(reason: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("config.json: {reason}"))
}

impl Config {
    pub fn parse(text: &str, kind: &str) -> Result<Config, Error> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| refuse(format!("is no JSON: {error}")).caused_by(error))?;
        match value.get("model_type") {
            Some(Value::String(other)) if other != kind => Err(refuse(format!("describes a {other}, not a {kind}"))),
            _ if !value.is_object() => Err(refuse("is no JSON object".to_owned())),
            _ => Ok(Config(value)),
        }
    }

    /// Refuses another value than this of a key, which may be missing or null.
    pub fn only(&self, key: &str, known: impl Into<Value>) -> Result<(), Error> {
        let known = known.into();
        match self.0.get(key) {
            Some(value) if !value.is_null() && *value != known => {
                Err(refuse(format!("{key} is {value}; only {known} is known")))
            }
            _ => Ok(()),
        }
    }

    /// A key's value, or `other` where it is missing or null.
    pub fn read<T: Read>(&self, key: &str, other: T) -> Result<T, Error> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(other),
            Some(value) => T::read(value).ok_or_else(|| refuse(format!("{key} is {value}, not {}", T::WHAT))),
        }
    }
}

/// What a key can be.
pub(super) trait Read: Sized {
    const WHAT: &str;
    fn read(value: &Value) -> Option<Self>;
}

impl Read for usize {
    const WHAT: &str = "a whole number";
    fn read(value: &Value) -> Option<usize> {
        value.as_u64().and_then(|number| usize::try_from(number).ok())
    }
}

impl Read for Option<usize> {
    const WHAT: &str = usize::WHAT;
    fn read(value: &Value) -> Option<Option<usize>> {
        usize::read(value).map(Some)
    }
}

impl Read for f32 {
    const WHAT: &str = "a number";
    fn read(value: &Value) -> Option<f32> {
        value.as_f64().map(|number| number as f32)
    }
}

impl Read for bool {
    const WHAT: &str = "true or false";
    fn read(value: &Value) -> Option<bool> {
        value.as_bool()
    }
}

impl Read for Activation {
    const WHAT: &str = "one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish and tanh";
    fn read(value: &Value) -> Option<Activation> {
        match value.as_str()? {
            "gelu" => Some(gelu()),
            "gelu_new" | "gelu_pytorch_tanh" => Some(gelu_tanh()),
            "relu" => Some(relu()),
            "silu" | "swish" => Some(silu()),
            "tanh" => Some(tanh()),
            _ => None,
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

#[cfg(test)]
mod tests {
    use crate::models::{BertConfig, Gpt2Config, MarianConfig};

    #[test]
    fn a_config_is_read_and_a_wrong_one_refused() {
        let config = BertConfig::from_json(r#"{"model_type": "bert", "hidden_size": 384, "unknown": []}"#).unwrap();
        assert_eq!((config.hidden_size, config.num_hidden_layers, config.layer_norm_eps), (384, 12, 1e-12));
        let config = Gpt2Config::from_json(r#"{"n_embd": 16, "n_inner": null, "resid_pdrop": 0}"#).unwrap();
        assert_eq!((config.n_embd, config.n_inner, config.resid_pdrop), (16, None, 0.0));
        assert!(MarianConfig::from_json(r#"{"scale_embedding": true}"#).unwrap().scale_embedding);
        for (text, part) in [
            ("{", "config.json: is no JSON"),
            ("7", "config.json: is no JSON object"),
            (r#"{"model_type": "gpt2"}"#, "describes a gpt2, not a bert"),
            (r#"{"hidden_size": "large"}"#, r#"hidden_size is "large", not a whole number"#),
            (
                r#"{"position_embedding_type": "relative_key"}"#,
                r#"position_embedding_type is "relative_key"; only "absolute" is known"#,
            ),
            (r#"{"hidden_act": "mish"}"#, r#"hidden_act is "mish", not one of gelu"#),
        ] {
            let error = BertConfig::from_json(text).unwrap_err();
            assert!(error.is_checkpoint() && error.message().contains(part), "{error}");
        }
    }
}
