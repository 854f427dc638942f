//! What a checkpoint holds, without reading its numbers.

use super::load::open;
use crate::{data::Shape, error::Error};
use std::{collections::BTreeMap, path::Path};

/// What a safetensors file, or an index of several, holds: see [`inspect`].
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// Its tensors by name.
    pub tensors: Vec<StoredTensor>,
    /// What its writer noted, `format` and others.
    pub notes: BTreeMap<String, String>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// The format's word for its element type, `F32` or `BF16`.
    pub dtype: String,
    /// Its shape.
    pub shape: Shape,
    /// Its bytes.
    pub bytes: u64,
}

/// Reads the names, types and shapes in a safetensors file, or in all files of an index.
///
/// # Errors
/// A file that cannot be read or is no whole safetensors file.
pub fn inspect(path: impl AsRef<Path>) -> Result<Contents, Error> {
    let mut contents = Contents { tensors: Vec::new(), notes: BTreeMap::new() };
    for file in open(path.as_ref())? {
        for (name, info) in file.metadata.tensors() {
            contents.tensors.push(StoredTensor {
                name,
                dtype: format!("{:?}", info.dtype),
                shape: Shape::from(&info.shape[..]),
                bytes: (info.data_offsets.1 - info.data_offsets.0) as u64,
            });
        }
        let notes = file.metadata.metadata().iter().flatten();
        contents.notes.extend(notes.map(|(key, value)| (key.clone(), value.clone())));
    }
    contents.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(contents)
}
