//! Shuffled batches that depend on a seed and the epoch only, so that a resumed run sees the same.

use crate::{
    data::{Array, Shape, TensorDesc},
    error::{Error, ErrorKind},
};

/// A reproducible order of the numbers below `count`.
#[derive(Clone, Debug)]
pub struct Shuffle {
    state: u64,
}

impl Shuffle {
    /// The generator of an epoch.
    pub fn new(seed: u64, epoch: u64) -> Shuffle {
        Shuffle { state: seed ^ epoch.wrapping_mul(0xD6E8_FEB8_6659_FD93) }
    }

    /// splitmix64 (Steele et al. 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random number below `count`, which is at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        // The high half of a 128-bit product maps 64 random bits without a visible bias.
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// The numbers below `count` in random order (Fisher and Yates).
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            let j = self.below(i + 1);
            order.swap(i, j);
        }
        order
    }
}

/// Rows of an array, taken in some order, a batch at a time; an incomplete last batch is left out.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    arrays: Vec<&'a Array>,
    order: Vec<usize>,
    batch: usize,
    next: usize,
}

impl<'a> Batches<'a> {
    /// Batches of `batch` rows of each array, in the order of an epoch of a seed.
    ///
    /// # Errors
    /// Arrays without rows or with different numbers of them; a batch that is empty or larger than they are.
    pub fn new(arrays: &[&'a Array], batch: usize, seed: u64, epoch: u64) -> Result<Batches<'a>, Error> {
        let rows: Vec<usize> = arrays.iter().map(|array| array.shape().first().copied().unwrap_or(0)).collect();
        let count = rows.first().copied().unwrap_or(0);
        if batch == 0 || count < batch || rows.iter().any(|&n| n != count) {
            let message = format!("batches of {batch} cannot be taken from arrays with {rows:?} rows");
            return Err(Error::new(ErrorKind::Data, message));
        }
        let order = Shuffle::new(seed, epoch).order(count);
        Ok(Batches { arrays: arrays.to_vec(), order, batch, next: 0 })
    }

    /// How many batches an epoch has.
    pub fn count(&self) -> usize {
        self.order.len() / self.batch
    }
}

impl Iterator for Batches<'_> {
    type Item = Vec<Array>;

    fn next(&mut self) -> Option<Vec<Array>> {
        let rows = self.order.get(self.next..self.next + self.batch)?;
        self.next += self.batch;
        self.arrays.iter().map(|array| take_rows(array, rows)).collect()
    }
}

/// The rows of an array with these numbers.
pub(super) fn take_rows(array: &Array, rows: &[usize]) -> Option<Array> {
    let row_shape: Shape = array.shape()[1..].into();
    let row_bytes = TensorDesc::new(row_shape, array.desc().dtype).bytes() as usize;
    let mut bytes = Vec::with_capacity(rows.len() * row_bytes);
    for &row in rows {
        bytes.extend_from_slice(array.bytes().get(row * row_bytes..(row + 1) * row_bytes)?);
    }
    Array::new(TensorDesc::new(array.shape().with(0, rows.len()), array.desc().dtype), bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_every_row_once() {
        let x = Array::from_u32([7, 2], &(0..14).collect::<Vec<_>>()).unwrap();
        let batches = Batches::new(&[&x], 3, 5, 0).unwrap();
        assert_eq!(Batches::count(&batches), 2);
        let mut rows: Vec<u32> = batches.flat_map(|batch| batch[0].to_u32()).collect();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 12);
        let mut order = Shuffle::new(1, 2).order(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        assert_eq!(order, Shuffle::new(1, 2).order(100));
        assert_ne!(order, Shuffle::new(1, 3).order(100));
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn too_large_a_batch_is_an_error() {
        let x = Array::from_u32([2], &[1, 2]).unwrap();
        let error = Batches::new(&[&x], 3, 0, 0).unwrap_err();
        assert_eq!(error.to_string(), "batches of 3 cannot be taken from arrays with [2] rows");
    }
}
