//! The handwritten digits that ship with the project.

use super::batches::take_rows;
use crate::{
    data::Array,
    error::{Error, ErrorKind},
};
use std::{io::Read, path::Path};

/// UCI's Optical Recognition of Handwritten Digits, test set (E. Alpaydin, C. Kaynak, 1998; CC BY 4.0).
static SHIPPED: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// Images of digits with their labels.
#[derive(Clone, Debug)]
pub struct Digits {
    /// `f32 [N, 1, 8, 8]`, 0 to 1.
    pub images: Array,
    /// `u32 [N]`, 0 to 9.
    pub labels: Array,
}

impl Digits {
    /// The 1,797 digits that are part of the program.
    ///
    /// # Errors
    /// None in a program that was built whole.
    pub fn shipped() -> Result<Digits, Error> {
        Digits::parse(SHIPPED, "the shipped digits")
    }

    /// Digits from a file of lines `64 pixels 0..16, label`, gzipped if it begins like a gzip file.
    ///
    /// # Errors
    /// A file that cannot be read or has another form, with the line.
    pub fn open(path: &Path) -> Result<Digits, Error> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Data, format!("{name}: cannot be read: {error}")).caused_by(error)
        })?;
        Digits::parse(&bytes, &name)
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Digits, Error> {
        let refuse = |what: String| Error::new(ErrorKind::Data, format!("{name}: {what}"));
        let mut text = Vec::new();
        if bytes.starts_with(&[0x1F, 0x8B]) {
            let read = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text);
            read.map_err(|error| refuse(format!("is no whole gzip file: {error}")))?;
        } else {
            text.extend_from_slice(bytes);
        }
        let mut rows = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(&text[..]);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for (i, row) in rows.records().enumerate() {
            let line = i + 1;
            let row = row.map_err(|error| refuse(format!("line {line}: {error}")))?;
            if row.len() != 65 {
                return Err(refuse(format!("line {line} has {} numbers, not 64 pixels and a label", row.len())));
            }
            let number = |field: &str, limit: f32| match field.parse::<f32>() {
                Ok(x) if (0.0..=limit).contains(&x) => Ok(x),
                _ => Err(refuse(format!("line {line}: {field:?} is not a number from 0 to {limit}"))),
            };
            for field in row.iter().take(64) {
                pixels.push(number(field, 16.0)? / 16.0);
            }
            labels.push(number(&row[64], 9.0)? as u32);
        }
        if labels.is_empty() {
            return Err(refuse("has no lines".to_owned()));
        }
        let count = labels.len();
        Ok(Digits { images: Array::from_f32([count, 1, 8, 8], &pixels)?, labels: Array::from_u32([count], &labels)? })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.labels.shape()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digits with these numbers.
    pub fn take(&self, rows: &[usize]) -> Option<Digits> {
        Some(Digits { images: take_rows(&self.images, rows)?, labels: take_rows(&self.labels, rows)? })
    }

    /// The fixed split: every fifth digit (numbers 4, 9, 14, …) is held out for testing.
    pub fn split(&self) -> Option<(Digits, Digits)> {
        let (test, train): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|i| i % 5 == 4);
        Some((self.take(&train)?, self.take(&test)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_digits_are_whole() {
        let digits = Digits::shipped().unwrap();
        assert_eq!(digits.len(), 1797);
        let (train, test) = digits.split().unwrap();
        assert_eq!((train.len(), test.len()), (1438, 359));
        let images = digits.images.to_f32();
        assert!(images.iter().all(|x| (0.0..=1.0).contains(x)));
        assert_eq!(digits.labels.to_u32()[..5], [0, 1, 2, 3, 4]);
    }

    #[test]
    fn wrong_files_name_the_line() {
        let text = |text: &str| Digits::parse(text.as_bytes(), "x.csv").unwrap_err().to_string();
        assert_eq!(text("1,2\n"), "x.csv: line 1 has 2 numbers, not 64 pixels and a label");
        let row = vec!["17"; 65].join(",");
        assert_eq!(text(&row), "x.csv: line 1: \"17\" is not a number from 0 to 16");
        assert_eq!(text(""), "x.csv: has no lines");
    }
}
