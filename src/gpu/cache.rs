//! What a driver compiled, kept on disk from one run of a program to the next.
//!
//! A file of the cache is for one adapter and one driver. It begins with a header of its own: the driver is only
//! handed bytes that this library wrote for it, whole. Anything else is ignored with a line in the log, and
//! replaced by the next program that compiles something.

use crate::{
    error::{Error, ErrorKind},
    kernel::Tuning,
};
use serde_json::{Value, json};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The environment variable that moves the cache to another folder; empty for no cache at all.
const FOLDER_VARIABLE: &str = "WGRAD_CACHE";

/// The largest file that is read or written. What grows beyond it begins anew.
const LARGEST: usize = 64 << 20;

/// The first bytes of a file: what it is, and the version of its form.
const MAGIC: [u8; 12] = *b"wgradpipe\x00\x00\x01";

/// The folder for what may be computed again: `WGRAD_CACHE`, else a folder of the user's caches; none where the
/// variable is empty or the system has no such folder.
pub(crate) fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return (!folder.is_empty()).then(|| folder.into());
    }
    // An empty variable is one that is not set, and relative paths are to be ignored (XDG base directories).
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("wgrad"))
}

/// A cache of pipelines of a device, with the file it is kept in.
#[derive(Debug)]
pub(super) struct PipelineCache {
    raw: wgpu::PipelineCache,
    file: PathBuf,
    key: String,
    /// The checksum of what the file holds.
    saved: Mutex<Option<u64>>,
    /// Since when there is something new, and how long the next file waits for more of it.
    pending: Mutex<(Option<Instant>, Duration)>,
}

impl PipelineCache {
    /// Opens the cache of an adapter in a folder; an empty one where there is no file of use.
    ///
    /// # Errors
    /// A device without pipeline caches.
    pub fn open(device: &wgpu::Device, folder: &Path) -> Result<PipelineCache, Error> {
        let info = device.adapter_info();
        let name = wgpu::util::pipeline_cache_key(&info);
        let Some(name) = name.filter(|_| device.features().contains(wgpu::Features::PIPELINE_CACHE)) else {
            let message = format!("{}: this device has no pipeline caches", info.name);
            return Err(Error::new(ErrorKind::Device, message).hint("only Vulkan has them: turn PIPELINE_CACHE on"));
        };
        let (file, key) = (folder.join(format!("{name}.bin")), key(&info));
        let data = match load(&file, &key) {
            Ok(data) => data,
            Err(reason) => {
                log::warn!("{}: ignored, {reason}", file.display());
                None
            }
        };
        let saved = data.as_deref().map(checksum);
        let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgrad"), data: data.as_deref(), fallback: true };
        // SAFETY: the bytes are what `PipelineCache::get_data` returned for this adapter and driver: the file's header
        // says so, and its checksum that they are whole.
        let raw = unsafe { device.create_pipeline_cache(&descriptor) };
        Ok(PipelineCache { raw, file, key, saved: Mutex::new(saved), pending: Mutex::default() })
    }

    /// For the descriptors of pipelines.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn raw(&self) -> &wgpu::PipelineCache {
        &self.raw
    }

    /// Says that there is something new. A cache is a file of megabytes: the first one is written at once, later ones take
    /// a tenth of a program's time at most, and the last when the device is given up.
    pub fn changed(&self) {
        let now = Instant::now();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *pending.0.get_or_insert(now);
        if now.duration_since(since) >= pending.1 {
            self.save();
            *pending = (None, Duration::from_secs(2).max(10 * now.elapsed()));
        }
    }

    /// Writes the file if there is something new. Failures are lines in the log: the cache only saves time.
    fn save(&self) {
        let Some(data) = self.raw.get_data() else { return };
        let sum = checksum(&data);
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if *saved == Some(sum) {
            return;
        }
        match store(&self.file, &self.key, &data) {
            Ok(()) => *saved = Some(sum),
            Err(error) => log::warn!("{}: cannot keep compiled pipelines: {error}", self.file.display()),
        }
    }
}

impl Drop for PipelineCache {
    fn drop(&mut self) {
        if self.pending.get_mut().unwrap_or_else(PoisonError::into_inner).0.is_some() {
            self.save();
        }
    }
}

/// The file of what was measured on an adapter.
fn tuning_file(folder: &Path, info: &wgpu::AdapterInfo) -> PathBuf {
    folder.join(format!("{:?}-{:x}-{:x}.tuning.json", info.backend, info.vendor, info.device).to_lowercase())
}

/// What was measured on an adapter with this driver, if a file says so.
pub(super) fn load_tuning(folder: &Path, info: &wgpu::AdapterInfo) -> Tuning {
    let file = tuning_file(folder, info);
    match fs::read(&file) {
        Ok(bytes) => parse_tuning(&bytes, &key(info)).unwrap_or_else(|reason| {
            log::warn!("{}: ignored, {reason}", file.display());
            Tuning::default()
        }),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("{}: ignored, {error}", file.display());
            }
            Tuning::default()
        }
    }
}

fn parse_tuning(bytes: &[u8], key: &str) -> Result<Tuning, &'static str> {
    let json: Value = serde_json::from_slice(bytes).map_err(|_| "it is not JSON")?;
    if json["device"] != key {
        return Err("it is for another adapter or driver");
    }
    Tuning::from_json(&json["choices"]).ok_or("it has no choices that can be read")
}

/// Writes what was measured on an adapter into its file.
pub(super) fn store_tuning(folder: &Path, info: &wgpu::AdapterInfo, tuning: &Tuning) -> Result<PathBuf, Error> {
    let file = tuning_file(folder, info);
    let text = format!("{:#}\n", json!({ "device": key(info), "choices": tuning.to_json() }));
    let written = write_whole(&file, text.as_bytes());
    written.map_err(|error| {
        Error::new(ErrorKind::Data, format!("{}: cannot be written", file.display())).caused_by(error)
    })?;
    Ok(file)
}

/// Names the adapter and driver that data belongs to.
fn key(info: &wgpu::AdapterInfo) -> String {
    let wgpu::AdapterInfo { name, vendor, device, backend, driver, driver_info, .. } = info;
    format!("{} {backend:?} {vendor:x} {device:x} {name} {driver} {driver_info}", env!("CARGO_PKG_VERSION"))
}

/// The 64-bit checksum of Fowler, Noll and Vo (FNV-1a): against damage, not against malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The data of a file for this key, none if there is no file, or why it is of no use.
fn load(file: &Path, key: &str) -> Result<Option<Vec<u8>>, String> {
    let size = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| error.to_string())?.len(),
    };
    if size > LARGEST as u64 {
        return Err(format!("it has {size} bytes, more than {LARGEST}"));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    Ok(Some(parse(&bytes, key)?.to_vec()))
}

/// The data behind a file's header: magic, length and bytes of the key, length and checksum of the data.
fn parse<'a>(bytes: &'a [u8], key: &str) -> Result<&'a [u8], &'static str> {
    let number = |bytes: &'a [u8]| bytes.split_first_chunk().map(|(bytes, rest)| (u64::from_le_bytes(*bytes), rest));
    let cut = "it ends too early";
    let rest = bytes.strip_prefix(&MAGIC).ok_or("it is no file of this version")?;
    let (length, rest) = number(rest).ok_or(cut)?;
    let (theirs, rest) = rest.split_at_checked(usize::try_from(length).map_err(|_| cut)?).ok_or(cut)?;
    if theirs != key.as_bytes() {
        return Err("it is for another adapter or driver");
    }
    let (length, rest) = number(rest).ok_or(cut)?;
    let (sum, data) = number(rest).ok_or(cut)?;
    if data.len() as u64 != length || checksum(data) != sum {
        return Err("it is damaged");
    }
    Ok(data)
}

/// Replaces a file in one step, so that a reader sees the old one or the new one.
fn store(file: &Path, key: &str, data: &[u8]) -> io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((key.len() as u64).to_le_bytes());
    bytes.extend(key.as_bytes());
    bytes.extend((data.len() as u64).to_le_bytes());
    bytes.extend(checksum(data).to_le_bytes());
    bytes.extend(data);
    if bytes.len() > LARGEST {
        // The next program begins with an empty cache, and keeps what it needs itself.
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    write_whole(file, &bytes)
}

/// Writes a file beside its place, then moves it there.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Several contexts of a program may write at once.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let beside = file.with_extension(format!("{}-{number}.tmp", std::process::id()));
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, file)).inspect_err(|_| {
        // What could not be moved is not left behind.
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_only_whole_and_for_its_own_driver() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/cache.bin");
        assert_eq!(load(&file, "a"), Ok(None));
        store(&file, "a", b"pipelines").unwrap();
        assert_eq!(load(&file, "a"), Ok(Some(b"pipelines".to_vec())));
        assert_eq!(load(&file, "b").unwrap_err(), "it is for another adapter or driver");

        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length], "a").is_err(), "cut to {length} bytes");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(parse(&damaged, "a").is_err(), "byte {at} damaged");
        }
        assert!(parse(&[whole, vec![0]].concat(), "a").is_err(), "a byte too many");
        let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_table_is_read_for_its_own_driver_only() {
        let text = br#"{ "device": "a", "choices": [{ "choice": "rows", "size": [3, 3, 3], "value": 8 }] }"#;
        assert_eq!(parse_tuning(text, "a").map(|tuning| tuning.len()), Ok(1));
        assert_eq!(parse_tuning(text, "b"), Err("it is for another adapter or driver"));
        assert_eq!(parse_tuning(&text[1..], "a"), Err("it is not JSON"));
        assert_eq!(parse_tuning(br#"{ "device": "a" }"#, "a"), Err("it has no choices that can be read"));
    }

    #[test]
    fn what_grows_too_large_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cache.bin");
        store(&file, "a", b"pipelines").unwrap();
        store(&file, "a", &vec![0; LARGEST]).unwrap();
        assert!(!file.exists());
        fs::write(&file, vec![0; LARGEST + 1]).unwrap();
        assert!(load(&file, "a").unwrap_err().contains("more than"));
    }
}
