//! Writing a checkpoint.

use super::{file_name, refuse};
use crate::{data::DType, error::Error, graph::Variable, session::Weights};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// Saves all parameters and state of the weights to a safetensors file, after everything submitted so far.
///
/// The file appears whole or not at all: it is written under another name in the same folder, forced
/// to the disk, and renamed. The same numbers give the same bytes. Memory is needed for one tensor at a time.
///
/// # Errors
/// A folder or disk that cannot be written to, or an error of the device; then the old file is as it was.
pub fn save(weights: &Weights, path: impl AsRef<Path>) -> Result<(), Error> {
    save_with_notes(weights, path, &BTreeMap::new())
}

/// [`save`] with notes in the file's header, which [`inspect`](super::inspect()) returns.
///
/// # Errors
/// As [`save`].
pub fn save_with_notes(
    weights: &Weights,
    path: impl AsRef<Path>,
    notes: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let path = path.as_ref();
    let failed =
        |error: std::io::Error| refuse(&file_name(path), format!("cannot be written: {error}")).caused_by(error);
    let temporary = Temporary::beside(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, &temporary.file);

    let variables = in_file_order(weights);
    let header =
        header(&variables, notes).map_err(|error| refuse(&file_name(path), format!("cannot be written: {error}")))?;
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
    out.write_all(&header).map_err(failed)?;
    for variable in &variables {
        let array = weights.read(&variable.name)?;
        out.write_all(array.bytes()).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    temporary.move_to(path).map_err(failed)
}

/// The variables as the format wants them: the widest elements first, so that all are aligned, then by name.
fn in_file_order(weights: &Weights) -> Vec<Variable> {
    let mut variables = weights.variables();
    variables.sort_by_key(|variable| (usize::MAX - variable.desc.dtype.bytes(), variable.name.clone()));
    variables
}

fn header(variables: &[Variable], notes: &BTreeMap<String, String>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut offset = 0;
    let tensors = variables.iter().map(|variable| {
        let begin = offset;
        offset += variable.desc.bytes() as usize;
        let dtype = match variable.desc.dtype {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::U32 => Dtype::U32,
        };
        (
            variable.name.to_string(),
            TensorInfo { dtype, shape: variable.desc.shape.to_vec(), data_offsets: (begin, offset) },
        )
    });
    // What Hugging Face's tools ask of a file before they open it.
    let mut all = notes.clone();
    all.insert("format".to_owned(), "pt".to_owned());
    let metadata = Metadata::new(Some(HashMap::new()), tensors.collect())?;
    let mut value = serde_json::to_value(&metadata)?;
    // As a sorted map, so that the same notes give the same bytes.
    value["__metadata__"] = serde_json::to_value(all)?;
    let mut header = serde_json::to_vec(&value)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// A file that is removed again unless it is moved to its place.
struct Temporary {
    file: File,
    path: Option<PathBuf>,
}

impl Temporary {
    /// A new file in the folder of `path`.
    fn beside(path: &Path) -> std::io::Result<Temporary> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(name) = path.file_name() else {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path has no file name"));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let path = path.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Temporary { file, path: Some(path) })
    }

    fn move_to(mut self, path: &Path) -> std::io::Result<()> {
        self.file.sync_all()?;
        if let Some(temporary) = &self.path {
            fs::rename(temporary, path)?;
        }
        self.path = None;
        // The new name too must be on the disk. Only Unix can open a folder to say so.
        #[cfg(unix)]
        {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The error that made it superfluous is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}
