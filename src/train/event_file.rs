//! Figures as TensorBoard reads them.

use crate::error::{Error, ErrorKind};
use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A TensorBoard event file of scalars.
///
/// Records are framed as TFRecord (length, data, each with a masked CRC-32C) and hold `tensorflow.Event` messages with
/// `Summary.Value{tag, simple_value}`.
///
/// ```
/// # fn main() -> Result<(), wgrad::error::Error> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// let mut file = wgrad::train::EventFile::create(folder)?; // tensorboard --logdir FOLDER
/// file.scalar("loss", 100, 0.25)?;
/// file.flush()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl EventFile {
    /// A new file `events.out.tfevents.…` in a folder, which is made if there is none.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn create(folder: impl AsRef<Path>) -> Result<EventFile, Error> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let now = seconds();
        let (seconds, process) = (now as u64, std::process::id());
        let mut number = 0;
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.wgrad.{process}.{number}"));
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(failed(&path, &error)),
            }
        };
        let mut file = EventFile { path, out: BufWriter::new(file) };
        let mut event = Message::default();
        event.double(1, now);
        event.bytes(3, b"brain.Event:2");
        file.record(&event.0)?;
        file.flush()?;
        Ok(file)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a number under a name.
    ///
    /// # Errors
    /// A disk that cannot be written to.
    pub fn scalar(&mut self, name: &str, step: u64, value: f64) -> Result<(), Error> {
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.float(2, value as f32);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        let mut event = Message::default();
        event.double(1, seconds());
        event.whole(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    /// Makes what was added visible to others.
    ///
    /// # Errors
    /// A disk that cannot be written to.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.out.flush().map_err(|error| failed(&self.path, &error))
    }

    fn record(&mut self, data: &[u8]) -> Result<(), Error> {
        let length = (data.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked(&length), data, &masked(data)];
        self.out.write_all(&parts.concat()).map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Data, format!("{}: cannot be written: {error}", path.display()))
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A protobuf message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn whole(&mut self, field: u64, number: u64) {
        self.varint(field << 3);
        self.varint(number);
    }

    fn double(&mut self, field: u64, number: f64) {
        self.varint((field << 3) | 1);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint((field << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, number: f32) {
        self.varint((field << 3) | 5);
        self.0.extend(number.to_le_bytes());
    }
}

/// A checksum as TFRecord stores it.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// CRC-32C (Castagnoli), RFC 3720.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    /// The events of a file: step, name, value.
    fn read(bytes: &[u8]) -> Vec<(u64, String, f32)> {
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (head, tail) = rest.split_at(count);
            rest = tail;
            head
        };
        let mut events = Vec::new();
        let mut left = bytes.len();
        while left > 0 {
            let length = take(8);
            assert_eq!(take(4), masked(length));
            let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let data = take(count);
            assert_eq!(take(4), masked(data));
            events.push(event(data));
            left -= 16 + count;
        }
        events
    }

    /// The fields of a message, numbers as their bytes.
    fn fields(mut data: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(data: &mut &[u8]) -> u64 {
            let mut number = 0;
            for shift in (0..).step_by(7) {
                let byte = data[0];
                *data = &data[1..];
                number |= u64::from(byte & 0x7F) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            number
        }
        let mut found = Vec::new();
        while !data.is_empty() {
            let key = varint(&mut data);
            let count = match key & 7 {
                0 => {
                    found.push((key >> 3, varint(&mut data).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                5 => 4,
                _ => varint(&mut data) as usize,
            };
            found.push((key >> 3, data[..count].to_vec()));
            data = &data[count..];
        }
        found
    }

    fn event(data: &[u8]) -> (u64, String, f32) {
        let mut result = (0, String::new(), f32::NAN);
        for (field, bytes) in fields(data) {
            match field {
                1 => assert!(f64::from_le_bytes(bytes.try_into().unwrap()) > 1e9),
                2 => result.0 = u64::from_le_bytes(bytes.try_into().unwrap()),
                3 => result.1 = String::from_utf8(bytes).unwrap(),
                5 => {
                    let value = fields(&fields(&bytes)[0].1);
                    result.1 = String::from_utf8(value[0].1.clone()).unwrap();
                    result.2 = f32::from_le_bytes(value[1].1.clone().try_into().unwrap());
                }
                _ => panic!("field {field}"),
            }
        }
        result
    }

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path().join("run")).unwrap();
        file.scalar("loss", 1, 2.5).unwrap();
        file.scalar("valid/größe", 3_000_000_000, -1e-3).unwrap();
        file.flush().unwrap();
        let events = read(&fs::read(file.path()).unwrap());
        assert_eq!((events[0].0, events[0].1.as_str()), (0, "brain.Event:2"));
        assert_eq!(events[1..], [(1, "loss".to_owned(), 2.5), (3_000_000_000, "valid/größe".to_owned(), -1e-3)]);
        let other = EventFile::create(folder.path().join("run")).unwrap();
        assert_ne!(other.path(), file.path());
    }
}
