//! What batches are made of, and how they are made ahead of time.

use super::{Shuffle, batches::take_rows};
use crate::{
    data::Array,
    error::{Error, ErrorKind},
    session::Session,
};
use std::{ops::ControlFlow, sync::mpsc, thread};

/// The inputs of one step, by the names the graph gives them.
pub type Batch<'a> = Vec<(&'a str, Array)>;

/// Examples to train or test with, numbered from 0.
///
/// Making a batch may be slow, decode images, draw crops: it happens on a thread of its own, some batches
/// ahead of the device.
pub trait Dataset: Sync {
    /// How many examples there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The inputs for the examples with these numbers.
    ///
    /// # Errors
    /// Why they cannot be made.
    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error>;
}

/// Arrays in memory, one row for each example.
///
/// ```
/// use wgrad::{prelude::*, train::{Dataset, Table}};
/// # fn main() -> Result<(), Error> {
/// let x = Array::from_f32([3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let label = Array::from_u32([3], &[7, 8, 9])?;
/// let table = Table::new([("x", x), ("label", label)])?;
/// let batch = table.batch(&[2, 0])?;
/// assert_eq!(batch[0].1.to_f32(), [4.0, 5.0, 0.0, 1.0]);
/// assert_eq!(batch[1].1.to_u32(), [9, 7]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Array)>,
    rows: usize,
}

impl Table {
    /// Columns under the names of the graph's inputs.
    ///
    /// # Errors
    /// Columns with different numbers of rows, or none at all.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = (N, Array)>) -> Result<Table, Error> {
        let columns: Vec<(String, Array)> = columns.into_iter().map(|(name, array)| (name.into(), array)).collect();
        let counts: Vec<usize> = columns.iter().map(|(_, array)| array.shape().first().copied().unwrap_or(0)).collect();
        match counts.first() {
            Some(&rows) if counts.iter().all(|&count| count == rows) => Ok(Table { columns, rows }),
            _ => {
                let names: Vec<String> = columns.iter().map(|(name, a)| format!("{name} {}", a.shape())).collect();
                let message = format!("a table needs columns with the same number of rows, not {}", names.join(", "));
                Err(Error::new(ErrorKind::Data, message))
            }
        }
    }
}

impl Dataset for Table {
    fn len(&self) -> usize {
        self.rows
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
        let rows = self.columns.iter().map(|(name, array)| Some((name.as_str(), take_rows(array, examples)?)));
        rows.collect::<Option<Batch<'_>>>().ok_or_else(|| {
            Error::new(
                ErrorKind::Data,
                format!("examples {examples:?} are not all among the {} of the table", self.rows),
            )
        })
    }
}

/// Calls `body` with the batches of an epoch in the order of its shuffle, from number `first` on; they are
/// made on another thread, at most `ahead` of them in advance. An incomplete last batch is left out.
///
/// # Errors
/// The first error of the dataset or the body; a batch size of 0 or above the number of examples.
pub fn each_batch<'a>(
    data: &'a dyn Dataset,
    batch: usize,
    (seed, epoch): (u64, u64),
    first: usize,
    ahead: usize,
    mut body: impl FnMut(Batch<'a>) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    if batch == 0 || batch > data.len() {
        let message = format!("batches of {batch} cannot be taken from {} examples", data.len());
        return Err(Error::new(ErrorKind::Data, message));
    }
    let order = Shuffle::new(seed, epoch).order(data.len());
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(ahead);
        scope.spawn(move || {
            for examples in order.chunks_exact(batch).skip(first) {
                // Nobody listens any more when the body has failed or had enough.
                if send.send(data.batch(examples)).is_err() {
                    return;
                }
            }
        });
        for batch in receive {
            if body(batch?)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// Runs a session on all examples in their order, `batch` at a time, and calls `body` after each run with the numbers
/// of its examples.
///
/// The last run is filled up with the last example again and again: only as many rows of an output count as `body` is
/// given examples.
///
/// # Errors
/// The first error of the dataset, the session or the body; a batch size of 0.
pub fn sweep(
    session: &Session,
    data: &dyn Dataset,
    batch: usize,
    mut body: impl FnMut(&[usize]) -> Result<(), Error>,
) -> Result<(), Error> {
    if batch == 0 {
        return Err(Error::new(ErrorKind::Data, "a sweep needs batches of at least one example"));
    }
    let examples: Vec<usize> = (0..data.len()).collect();
    for chunk in examples.chunks(batch) {
        let mut rows = chunk.to_vec();
        rows.resize(batch, data.len() - 1);
        for (name, array) in data.batch(&rows)? {
            session.write(name, &array)?;
        }
        session.run()?;
        body(chunk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Table {
        Table::new([("x", Array::from_u32([count], &(0..count as u32).collect::<Vec<_>>()).unwrap())]).unwrap()
    }

    fn epoch(table: &Table, batch: usize, seed: u64, epoch: u64, first: usize) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        each_batch(table, batch, (seed, epoch), first, 2, |batch| {
            all.push(batch[0].1.to_u32());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        all
    }

    #[test]
    fn an_epoch_takes_every_example_once_and_goes_on_where_it_stopped() {
        let table = numbers(10);
        let all = epoch(&table, 3, 5, 0, 0);
        assert_eq!(all.len(), 3);
        let mut seen: Vec<u32> = all.concat();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 9);
        assert_eq!(epoch(&table, 3, 5, 0, 0), all);
        assert_eq!(epoch(&table, 3, 5, 0, 2), all[2..]);
        assert_ne!(epoch(&table, 3, 5, 1, 0), all);
        assert_ne!(epoch(&table, 3, 6, 0, 0), all);
    }

    #[test]
    fn errors_and_breaks_end_the_epoch() {
        struct Broken;
        impl Dataset for Broken {
            fn len(&self) -> usize {
                1_000_000
            }
            fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
                Err(Error::new(ErrorKind::Data, format!("{} cannot be read", examples.len())))
            }
        }
        let error = each_batch(&Broken, 2, (0, 0), 0, 1, |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert_eq!(error.to_string(), "2 cannot be read");
        let mut count = 0;
        each_batch(&numbers(100), 1, (0, 0), 0, 4, |_| {
            count += 1;
            Ok(if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
        assert_eq!(count, 3);
        let error = each_batch(&numbers(2), 3, (0, 0), 0, 1, |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert_eq!(error.to_string(), "batches of 3 cannot be taken from 2 examples");
        let short = [("a", numbers(2).columns[0].1.clone()), ("b", numbers(3).columns[0].1.clone())];
        let error = Table::new(short).unwrap_err().to_string();
        assert_eq!(error, "a table needs columns with the same number of rows, not a [2], b [3]");
        assert!(numbers(2).batch(&[2]).is_err());
    }
}
