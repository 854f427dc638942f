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
    collections::{BTreeMap, BTreeSet},
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
    replace: Vec<(String, String)>,
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

    /// Reads `from` as `to` wherever it stands in a name of the file, before names are compared: files of
    /// other libraries call a layer's `weight` `gamma`, or put a prefix in front of everything.
    ///
    /// Several replacements follow one another; one of `^bert.` is for the beginning of a name only.
    pub fn replace(mut self, from: &str, to: &str) -> Load {
        self.replace.push((from.to_owned(), to.to_owned()));
        self
    }

    fn renamed(&self, name: &str) -> String {
        self.replace.iter().fold(name.to_owned(), |name, (from, to)| match from.strip_prefix('^') {
            Some(prefix) => name.strip_prefix(prefix).map_or_else(|| name.clone(), |rest| format!("{to}{rest}")),
            None => name.replace(from.as_str(), to),
        })
    }

    /// Loads a file, or the files that an index (`model.safetensors.index.json`, as Hugging Face writes it
    /// for a model in several files) names.
    ///
    /// Floating point numbers (`F32`, `F16`, `BF16`) are converted to each variable's type, `I64` to `u32`. Nothing is
    /// written to the weights unless everything fits, and memory is needed for one tensor at a time.
    ///
    /// # Errors
    /// A file that cannot be read or is no whole safetensors file; one error with every name that is
    /// missing or unexpected and every other shape or type; an error of the device.
    pub fn file(&self, weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.all(weights, &file_name(path), &mut open(path)?)
    }

    /// [`file`](Load::file) for bytes from elsewhere; `name` is what messages call them.
    ///
    /// # Errors
    /// As [`file`](Load::file).
    pub fn reader(&self, weights: &Weights, name: &str, source: impl Read + Seek) -> Result<(), Error> {
        self.all(weights, name, &mut [Opened::new(name, source)?])
    }

    fn all<R: Read + Seek>(&self, weights: &Weights, name: &str, files: &mut [Opened<R>]) -> Result<(), Error> {
        let mut tensors: BTreeMap<String, (usize, TensorInfo)> = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for (own, info) in file.metadata.tensors() {
                let renamed = self.renamed(&own);
                if tensors.insert(renamed.clone(), (i, info.clone())).is_some() {
                    return Err(refuse(name, format!("has {renamed} twice")));
                }
            }
        }
        let variables = weights.variables();
        for (variable, file, info) in self.matching(name, &variables, &tensors)? {
            let bytes = files[file].read(info)?;
            weights.write(&variable.name, &converted(bytes, info.dtype, variable)?)?;
        }
        Ok(())
    }

    /// The tensor of each variable that is to be loaded, or all that does not fit.
    fn matching<'a>(
        &self,
        file: &str,
        variables: &'a [Variable],
        tensors: &'a BTreeMap<String, (usize, TensorInfo)>,
    ) -> Result<Vec<(&'a Variable, usize, &'a TensorInfo)>, Error> {
        let wanted = |name: &str| !(self.model_only && is_of_training(name));
        let may = |prefixes: &[String], name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let (mut found, mut missing, mut others) = (Vec::new(), Vec::new(), String::new());
        for variable in variables.iter().filter(|variable| wanted(&variable.name)) {
            let (name, desc) = (&*variable.name, &variable.desc);
            match tensors.get(name).map(|(file, info)| (*file, info)) {
                None if may(&self.may_lack, name) => {}
                None => missing.push(name),
                Some((_, info)) if info.shape[..] != desc.shape[..] => {
                    let shape = Shape::from(&info.shape[..]);
                    let _ = write!(others, "\n  shape of {name}: {shape} in the file, {} is wanted", desc.shape);
                }
                Some((_, info)) if !converts(info.dtype, desc.dtype) => {
                    let _ =
                        write!(others, "\n  type of {name}: {:?} in the file, {} is wanted", info.dtype, desc.dtype);
                }
                Some((file, info)) => found.push((variable, file, info)),
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

/// The file at a path, or all files that an index at the path names, their headers read.
pub(super) fn open(path: &Path) -> Result<Vec<Opened<File>>, Error> {
    let open = |path: &Path| -> Result<Opened<File>, Error> {
        let name = file_name(path);
        let file =
            File::open(path).map_err(|error| refuse(&name, format!("cannot be opened: {error}")).caused_by(error))?;
        Opened::new(&name, file)
    };
    if path.extension().is_none_or(|ending| ending != "json") {
        return Ok(vec![open(path)?]);
    }
    shards_of(path)?.iter().map(|shard| open(&path.with_file_name(shard))).collect()
}

/// A file whose header has been read.
pub(super) struct Opened<R> {
    name: String,
    source: R,
    begin: u64,
    pub metadata: Metadata,
}

impl<R: Read + Seek> Opened<R> {
    fn new(name: &str, mut source: R) -> Result<Opened<R>, Error> {
        let (begin, metadata) = header(name, &mut source)?;
        Ok(Opened { name: name.to_owned(), source, begin, metadata })
    }

    /// The bytes of one of its tensors.
    fn read(&mut self, info: &TensorInfo) -> Result<Vec<u8>, Error> {
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        let sought = self.source.seek(SeekFrom::Start(self.begin + from as u64));
        sought
            .and_then(|_| self.source.read_exact(&mut bytes))
            .map_err(|error| refuse(&self.name, format!("cannot be read: {error}")).caused_by(error))?;
        Ok(bytes)
    }
}

/// The files that the `weight_map` of an index names, each once.
fn shards_of(index: &Path) -> Result<Vec<String>, Error> {
    let name = file_name(index);
    let text =
        std::fs::read(index).map_err(|error| refuse(&name, format!("cannot be opened: {error}")).caused_by(error))?;
    let json: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| refuse(&name, format!("is no index of safetensors files: {error}")).caused_by(error))?;
    let map = json.get("weight_map").and_then(serde_json::Value::as_object);
    let files =
        map.map(|map| map.values().map(|file| file.as_str().map(str::to_owned)).collect::<Option<BTreeSet<_>>>());
    match files.flatten() {
        Some(files) if files.iter().all(|file| Path::new(file).file_name().is_some_and(|own| own == file.as_str())) => {
            Ok(files.into_iter().collect())
        }
        _ => {
            Err(refuse(&name, "is no index of safetensors files: it needs a weight_map from names to files beside it"))
        }
    }
}

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
