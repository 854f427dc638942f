//! What a training has measured, epoch by epoch, in memory and as a CSV file.

use crate::error::{Error, ErrorKind};
use std::{fmt::Write as _, fs, path::Path};

/// The figures of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1; that of the epoch it is a part of, where there are several measurements in one.
    pub epoch: u64,
    /// How many steps had been made at its end.
    pub step: u64,
    /// Means over its steps, then what validation returned, in that order.
    pub figures: Vec<(String, f64)>,
}

impl Epoch {
    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// All epochs so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In order.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// A figure over all epochs that have it.
    pub fn series(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|epoch| epoch.get(name)).collect()
    }

    /// One line for each epoch: `epoch,step,loss,…`. Numbers are written so that they come back exactly.
    pub fn to_csv(&self) -> String {
        let Some(first) = self.epochs.first() else { return String::new() };
        let mut text = String::from("epoch,step");
        for (name, _) in &first.figures {
            let _ = write!(text, ",{name}");
        }
        text.push('\n');
        for epoch in &self.epochs {
            let _ = write!(text, "{},{}", epoch.epoch, epoch.step);
            for (_, value) in &epoch.figures {
                let _ = write!(text, ",{value}");
            }
            text.push('\n');
        }
        text
    }

    /// Reads what [`to_csv`](History::to_csv) wrote.
    ///
    /// # Errors
    /// Text of another form, with the line.
    pub fn from_csv(text: &str) -> Result<History, Error> {
        let refuse = |line: usize| Error::new(ErrorKind::Data, format!("line {line} is none of a training's history"));
        let mut lines = text.lines();
        let Some(head) = lines.next() else { return Ok(History::default()) };
        let names: Vec<&str> = head.strip_prefix("epoch,step").ok_or_else(|| refuse(1))?.split(',').skip(1).collect();
        let epochs = lines.enumerate().map(|(i, line)| {
            let refuse = || refuse(i + 2);
            let mut fields = line.split(',');
            let mut whole = || fields.next().and_then(|field| field.parse().ok()).ok_or_else(refuse);
            let (epoch, step) = (whole()?, whole()?);
            let values: Vec<f64> = fields.map(|field| field.parse().map_err(|_| refuse())).collect::<Result<_, _>>()?;
            if values.len() != names.len() {
                return Err(refuse());
            }
            Ok(Epoch { epoch, step, figures: names.iter().map(|name| (*name).to_owned()).zip(values).collect() })
        });
        Ok(History { epochs: epochs.collect::<Result<_, _>>()? })
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        fs::write(path, self.to_csv()).map_err(|error| {
            Error::new(ErrorKind::Data, format!("{}: cannot be written: {error}", path.display())).caused_by(error)
        })
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// A file that cannot be read or has another form.
    pub fn load(path: &Path) -> Result<History, Error> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Error::new(ErrorKind::Data, format!("{name}: cannot be read: {error}")).caused_by(error)
        })?;
        History::from_csv(&text).map_err(|error| Error::new(ErrorKind::Data, format!("{name}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_exactly() {
        let epoch = |epoch, loss: f64| Epoch {
            epoch,
            step: 7 * epoch,
            figures: vec![("loss".to_owned(), loss), ("valid_loss".to_owned(), 1.0 / 3.0)],
        };
        let history = History { epochs: vec![epoch(1, 0.1 + 0.2), epoch(2, f64::INFINITY)] };
        assert_eq!(History::from_csv(&history.to_csv()).unwrap(), history);
        assert_eq!(history.series("valid_loss"), [1.0 / 3.0; 2]);
        assert_eq!(History::from_csv("").unwrap(), History::default());
        let error = |text: &str| History::from_csv(text).unwrap_err().to_string();
        assert_eq!(error("a,b\n"), "line 1 is none of a training's history");
        assert_eq!(error("epoch,step,loss\n1,2\n"), "line 2 is none of a training's history");
        assert_eq!(error("epoch,step\n1,x\n"), "line 2 is none of a training's history");
    }
}
