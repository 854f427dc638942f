//! Reading a checkpoint.

use super::{file_name, is_of_training, refuse};
use crate::{
    data::{Array, DType, Shape},
    error::Error,
    graph::Variable,
    session::Weights,
};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Loads all parameters and state of the weights from a safetensors file: [`Load::new`] with nothing allowed.
///
/// # Errors
/// As [`Load::file`].
pub fn load(weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
    Load::new().file(weights, path)
}

/// Loads the model and leaves the state of training (`step`, `seed.…`, `optimizer.…`) as it is: for files
/// of other libraries, and for using what was trained.
///
/// # Errors
/// As [`Load::file`].
pub fn load_parameters(weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
    Load::new().without_training_state().file(weights, path)
}

/// What a file may lack or have too much. Without options, file and weights must match name by name.
///
/// ```no_run
/// # fn go(weights: &wgrad::session::Weights) -> Result<(), wgrad::error::Error> {
/// use wgrad::checkpoint::Load;
/// // Everything but a new head.
/// let load = Load::new().without_training_state().allow_missing("classifier.").ignore_unexpected("classifier.");
/// load.file(weights, "backbone.safetensors")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    may_lack: Vec<String>,
    may_have: Vec<String>,
    model_only: bool,
}

impl Load {
    /// Nothing may be missing, nothing unexpected.
    pub fn new() -> Load {
        Load::default()
    }

    /// Variables whose name begins so may be missing from the file; they keep their values.
    pub fn allow_missing(mut self, prefix: &str) -> Load {
        self.may_lack.push(prefix.to_owned());
        self
    }

    /// Tensors of the file whose name begins so are passed over where the weights do not have them.
    pub fn ignore_unexpected(mut self, prefix: &str) -> Load {
        self.may_have.push(prefix.to_owned());
        self
    }

    /// Leaves `step`, `seed.…`, `optimizer.…` and `….num_batches_tracked` as they are, whether the file has
    /// them or not.
    pub fn without_training_state(mut self) -> Load {
        self.model_only = true;
        self
    }

    /// Loads a file.
    ///
    /// Floating point numbers (`F32`, `F16`, `BF16`) are converted to each variable's type, `I64` to `u32`. Nothing is
    /// written to the weights unless everything fits, and memory is needed for one tensor at a time.
    ///
    /// # Errors
    /// A file that cannot be read or is no whole safetensors file; one error with every name that is
    /// missing or unexpected and every other shape or type; an error of the device.
    pub fn file(&self, weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
        let name = file_name(path.as_ref());
        let file =
            File::open(path).map_err(|error| refuse(&name, format!("cannot be opened: {error}")).caused_by(error))?;
        self.reader(weights, &name, file)
    }

    /// [`file`](Load::file) for bytes from elsewhere; `name` is what messages call them.
    ///
    /// # Errors
    /// As [`file`](Load::file).
    pub fn reader(&self, weights: &Weights, name: &str, mut source: impl Read + Seek) -> Result<(), Error> {
        let (begin, metadata) = header(name, &mut source)?;
        let tensors: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
        let variables = weights.variables();
        let found = self.matching(name, &variables, &tensors)?;
        let failed = |error: std::io::Error| refuse(name, format!("cannot be read: {error}")).caused_by(error);
        for (variable, info) in found {
            let (from, to) = info.data_offsets;
            source.seek(SeekFrom::Start(begin + from as u64)).map_err(failed)?;
            let mut bytes = vec![0; to - from];
            source.read_exact(&mut bytes).map_err(failed)?;
            weights.write(&variable.name, &converted(bytes, info.dtype, variable)?)?;
        }
        Ok(())
    }

    /// The tensor of each variable that is to be loaded, or all that does not fit.
    fn matching<'a>(
        &self,
        file: &str,
        variables: &'a [Variable],
        tensors: &BTreeMap<String, &'a TensorInfo>,
    ) -> Result<Vec<(&'a Variable, &'a TensorInfo)>, Error> {
        let wanted = |name: &str| !(self.model_only && is_of_training(name));
        let may = |prefixes: &[String], name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let (mut found, mut missing, mut others) = (Vec::new(), Vec::new(), String::new());
        for variable in variables.iter().filter(|variable| wanted(&variable.name)) {
            let (name, desc) = (&*variable.name, &variable.desc);
            match tensors.get(name) {
                None if may(&self.may_lack, name) => {}
                None => missing.push(name),
                Some(info) if info.shape[..] != desc.shape[..] => {
                    let shape = Shape::from(&info.shape[..]);
                    let _ = write!(others, "\n  shape of {name}: {shape} in the file, {} is wanted", desc.shape);
                }
                Some(info) if !converts(info.dtype, desc.dtype) => {
                    let _ =
                        write!(others, "\n  type of {name}: {:?} in the file, {} is wanted", info.dtype, desc.dtype);
                }
                Some(info) => found.push((variable, *info)),
            }
        }
        let known = |name: &str| variables.iter().any(|variable| &*variable.name == name);
        let unexpected: Vec<&str> =
            tensors.keys().map(String::as_str).filter(|name| wanted(name) && !known(name)).collect();
        let unexpected: Vec<&str> = unexpected.into_iter().filter(|name| !may(&self.may_have, name)).collect();
        if missing.is_empty() && unexpected.is_empty() && others.is_empty() {
            return Ok(found);
        }

        let mut message = "does not fit the weights".to_owned();
        for (what, names) in [("missing", &missing), ("unexpected", &unexpected)] {
            if !names.is_empty() {
                let _ = write!(message, "\n  {what}: {}", names.join(", "));
            }
        }
        let error = refuse(file, message + &others);
        let only_training = others.is_empty() && missing.iter().chain(&unexpected).all(|name| is_of_training(name));
        Err(if only_training { error.hint("load_parameters leaves the state of training as it is") } else { error })
    }
}

/// Whether numbers of a file can become those of a variable.
fn converts(from: Dtype, to: DType) -> bool {
    match to {
        DType::F32 | DType::F16 => matches!(from, Dtype::F32 | Dtype::F16 | Dtype::BF16),
        DType::U32 => matches!(from, Dtype::U32 | Dtype::I64),
    }
}

/// A tensor's bytes as the array its variable wants.
fn converted(bytes: Vec<u8>, from: Dtype, variable: &Variable) -> Result<Array, Error> {
    let desc = &variable.desc;
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    if (from, desc.dtype) == (Dtype::I64, DType::U32) {
        let words = bytes.chunks_exact(8).map(|b| {
            let number = i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            let reason = || refuse(&variable.name, format!("{number} is no u32"));
            u32::try_from(number).map_err(|error| reason().caused_by(error))
        });
        return Array::from_u32(&desc.shape, &words.collect::<Result<Vec<u32>, Error>>()?);
    }
    let numbers: Vec<f32> = match (from, desc.dtype) {
        (Dtype::F32, DType::F32) | (Dtype::F16, DType::F16) | (_, DType::U32) => {
            return Array::new(desc.clone(), bytes);
        }
        (Dtype::F16, _) => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        (Dtype::BF16, _) => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
        _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
    };
    Array::from_f32_as(desc.dtype, &desc.shape, &numbers)
}

/// The format's own bound, in bytes: a file may be sparse, so its length alone bounds nothing.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads and checks a file's header, and with it every offset: the position of the first tensor, and the tensors.
///
/// No length the file states is believed before it is compared with the file's own.
fn header(name: &str, source: &mut (impl Read + Seek)) -> Result<(u64, Metadata), Error> {
    let failed = |error: std::io::Error| refuse(name, format!("cannot be read: {error}")).caused_by(error);
    let length = source.seek(SeekFrom::End(0)).map_err(failed)?;
    source.seek(SeekFrom::Start(0)).map_err(failed)?;
    if length < 8 {
        return Err(refuse(name, format!("is no safetensors file: it has {length} bytes")));
    }
    let mut word = [0; 8];
    source.read_exact(&mut word).map_err(failed)?;
    let stated = u64::from_le_bytes(word);
    if stated > length - 8 {
        let reason =
            format!("is no whole safetensors file: its header should have {stated} bytes, the file has {length}");
        return Err(refuse(name, reason));
    }
    if stated > LONGEST_HEADER {
        return Err(refuse(name, format!("its header has {stated} bytes, more than {LONGEST_HEADER}")));
    }
    let mut text = vec![0; stated as usize];
    source.read_exact(&mut text).map_err(failed)?;
    // `Metadata` refuses overlaps, gaps, and shapes that are not as large as their bytes.
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| refuse(name, format!("is no safetensors file: {error}")).caused_by(error))?;
    let (begin, data) = (8 + stated, metadata.data_len() as u64);
    if length - begin != data {
        let reason =
            format!("is no whole safetensors file: its tensors should have {data} bytes, it has {}", length - begin);
        return Err(refuse(name, reason));
    }
    Ok((begin, metadata))
}
