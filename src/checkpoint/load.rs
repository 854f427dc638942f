//! Reading a checkpoint.

use super::{
    file_name, is_of_training, refuse,
    source::{Disk, Source, Stream},
};
use crate::{
    data::{DType, Shape},
    error::Error,
    graph::Variable,
    session::Weights,
};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs::File,
    io::{Read, Seek},
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
    prefixes: Vec<String>,
    stand_ins: Vec<(String, String)>,
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

    /// Reads a name with this prefix as the same without it, or one without as the same with it, where the weights have
    /// only the other: files of a bare model and of one with a head then serve each other.
    pub fn optional_prefix(mut self, prefix: &str) -> Load {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// Takes the file's tensor `other` for the variable `name` where the file has no tensor of that name: which of its
    /// names a matrix in several places keeps differs from file to file. Both are names as the weights have them.
    pub fn stand_in(mut self, name: &str, other: &str) -> Load {
        self.stand_ins.push((name.to_owned(), other.to_owned()));
        self
    }

    /// What the weights call a name of the file.
    fn renamed(&self, name: &str, known: impl Fn(&str) -> bool) -> String {
        let name = self.replace.iter().fold(name.to_owned(), |name, (from, to)| match from.strip_prefix('^') {
            Some(prefix) => name.strip_prefix(prefix).map_or_else(|| name.clone(), |rest| format!("{to}{rest}")),
            None => name.replace(from.as_str(), to),
        });
        let other = |prefix: &String| match name.strip_prefix(prefix.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("{prefix}{name}"),
        };
        let others = self.prefixes.iter().map(other).filter(|other| !known(&name) && known(other));
        others.last().unwrap_or(name)
    }

    /// Loads a file, or the files that an index (`model.safetensors.index.json`, as Hugging Face writes it
    /// for a model in several files) names.
    ///
    /// Floating point numbers (`F64`, `F32`, `F16`, `BF16`) are converted to each variable's type, `I64` to `u32`. Nothing
    /// is written to the weights unless every name, shape and type fits. The files are mapped into memory a piece at a
    /// time, and a piece is given to the device before the next, so that no host memory is needed for the whole.
    ///
    /// Where another program makes a file shorter at this very time, the system may end this one: replace checkpoints as
    /// [`save`](super::save) does, by a new file of the same name.
    ///
    /// # Errors
    /// A file that cannot be read or is no whole safetensors file; one error with every name that is
    /// missing or unexpected and every other shape or type; a number that is too large for the variable's type; an error
    /// of the device.
    pub fn file(&self, weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.all(weights, &file_name(path), &mut open(path)?)
    }

    /// [`file`](Load::file) for bytes from elsewhere; `name` is what messages call them.
    ///
    /// # Errors
    /// As [`file`](Load::file).
    pub fn reader(&self, weights: &Weights, name: &str, source: impl Read + Seek) -> Result<(), Error> {
        self.all(weights, name, &mut [Opened::new(name, Stream(source))?])
    }

    fn all<S: Source>(&self, weights: &Weights, name: &str, files: &mut [Opened<S>]) -> Result<(), Error> {
        let variables = weights.variables();
        let known = |name: &str| variables.iter().any(|variable| &*variable.name == name);
        let mut tensors: BTreeMap<String, (usize, TensorInfo)> = BTreeMap::new();
        for (i, file) in files.iter().enumerate() {
            for (own, info) in file.metadata.tensors() {
                let renamed = self.renamed(&own, known);
                if tensors.insert(renamed.clone(), (i, info.clone())).is_some() {
                    return Err(refuse(name, format!("has {renamed} twice")));
                }
            }
        }
        for (name, other) in &self.stand_ins {
            if !tensors.contains_key(name)
                && let Some(tensor) = tensors.remove(other)
            {
                tensors.insert(name.clone(), tensor);
            }
        }
        for (variable, file, info) in self.matching(name, &variables, &tensors)? {
            files[file].copy(info, variable, weights)?;
        }
        weights.settle()
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
        DType::F32 | DType::F16 => matches!(from, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16),
        DType::U32 => matches!(from, Dtype::U32 | Dtype::I64),
    }
}

/// A file's numbers as a variable has them, or the first that its type is too small for.
fn converted(bytes: &[u8], from: Dtype, to: DType) -> Result<Cow<'_, [u8]>, f64> {
    let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    let words = || bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    let doubles = || bytes.chunks_exact(8).map(|b| [b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    match (from, to) {
        (Dtype::I64, DType::U32) => {
            let narrow = |b| u32::try_from(i64::from_le_bytes(b)).map_err(|_| i64::from_le_bytes(b) as f64);
            let numbers: Vec<u32> = doubles().map(narrow).collect::<Result<_, f64>>()?;
            Ok(numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        (Dtype::F32, DType::F32) | (Dtype::F16, DType::F16) | (_, DType::U32) => Ok(Cow::Borrowed(bytes)),
        (Dtype::F16, _) => floats(pairs().map(|b| f16::from_le_bytes(b).to_f64()), to),
        (Dtype::BF16, _) => floats(pairs().map(|b| bf16::from_le_bytes(b).to_f64()), to),
        (Dtype::F64, _) => floats(doubles().map(f64::from_le_bytes), to),
        _ => floats(words().map(|b| f64::from(f32::from_le_bytes(b))), to),
    }
}

/// Numbers as `f16` or `f32`, or the first that is finite and would not be so.
fn floats<'a>(numbers: impl Iterator<Item = f64>, to: DType) -> Result<Cow<'a, [u8]>, f64> {
    let mut bytes = Vec::with_capacity(numbers.size_hint().0 * to.bytes());
    for x in numbers {
        let finite = if to == DType::F16 {
            let half = f16::from_f64(x);
            bytes.extend_from_slice(&half.to_le_bytes());
            half.is_finite()
        } else {
            bytes.extend_from_slice(&(x as f32).to_le_bytes());
            (x as f32).is_finite()
        };
        if x.is_finite() && !finite {
            return Err(x);
        }
    }
    Ok(Cow::Owned(bytes))
}

/// How many bytes of a file are in host memory at a time, and how many may wait for the device behind them.
const PIECE: usize = 8 << 20;

/// The format's own bound, in bytes: a file may be sparse, so its length alone bounds nothing.
const LONGEST_HEADER: u64 = 100_000_000;

/// The file at a path, or all files that an index at the path names, their headers read.
pub(super) fn open(path: &Path) -> Result<Vec<Opened<Disk>>, Error> {
    let open = |path: &Path| -> Result<Opened<Disk>, Error> {
        let name = file_name(path);
        let file =
            File::open(path).map_err(|error| refuse(&name, format!("cannot be opened: {error}")).caused_by(error))?;
        Opened::new(&name, Disk(file))
    };
    if path.extension().is_none_or(|ending| ending != "json") {
        return Ok(vec![open(path)?]);
    }
    shards_of(path)?.iter().map(|shard| open(&path.with_file_name(shard))).collect()
}

/// A file whose header has been read.
pub(super) struct Opened<S> {
    name: String,
    source: S,
    begin: u64,
    pub metadata: Metadata,
}

impl<S: Source> Opened<S> {
    fn new(name: &str, mut source: S) -> Result<Opened<S>, Error> {
        let (begin, metadata) = header(name, &mut source)?;
        Ok(Opened { name: name.to_owned(), source, begin, metadata })
    }

    /// Gives one of its tensors to the device, piece by piece.
    fn copy(&mut self, info: &TensorInfo, variable: &Variable, weights: &Weights) -> Result<(), Error> {
        let (from, to) = info.data_offsets;
        let mut offset = 0;
        for first in (from..to).step_by(PIECE) {
            let piece = self.source.piece(self.begin + first as u64, PIECE.min(to - first));
            let piece =
                piece.map_err(|error| refuse(&self.name, format!("cannot be read: {error}")).caused_by(error))?;
            let bytes = converted(&piece, info.dtype, variable.desc.dtype).map_err(|number| {
                let (name, dtype) = (&variable.name, variable.desc.dtype);
                refuse(&self.name, format!("{name} has {number:?}, which is no {dtype}"))
            })?;
            weights.write_bytes(&variable.name, offset, &bytes)?;
            offset += bytes.len() as u64;
        }
        Ok(())
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
fn header(name: &str, source: &mut impl Source) -> Result<(u64, Metadata), Error> {
    let failed = |error: std::io::Error| refuse(name, format!("cannot be read: {error}")).caused_by(error);
    let length = source.length().map_err(failed)?;
    if length < 8 {
        return Err(refuse(name, format!("is no safetensors file: it has {length} bytes")));
    }
    let mut word = [0; 8];
    word.copy_from_slice(&source.piece(0, 8).map_err(failed)?);
    let stated = u64::from_le_bytes(word);
    if stated > length - 8 {
        let reason =
            format!("is no whole safetensors file: its header should have {stated} bytes, the file has {length}");
        return Err(refuse(name, reason));
    }
    if stated > LONGEST_HEADER {
        return Err(refuse(name, format!("its header has {stated} bytes, more than {LONGEST_HEADER}")));
    }
    let text = source.piece(8, stated as usize).map_err(failed)?;
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
