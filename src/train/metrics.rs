//! Counts of right and wrong.

use std::fmt;

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// An empty table.
    pub fn new(classes: usize) -> Confusion {
        Confusion { classes, counts: vec![0; classes * classes] }
    }

    /// Counts predictions against the truth; classes past the table's are left out.
    pub fn add(&mut self, truth: &[u32], predicted: &[u32]) {
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            let (truth, predicted) = (truth as usize, predicted as usize);
            if truth < self.classes && predicted < self.classes {
                self.counts[truth * self.classes + predicted] += 1;
            }
        }
    }

    /// How often class `truth` was taken for `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts.get(truth * self.classes + predicted).copied().unwrap_or(0)
    }

    /// One row for each true class.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.classes.max(1))
    }

    /// The share of right predictions; NaN of none.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>16}", "true \\ predicted")?;
        for class in 0..self.classes {
            write!(f, " {class:>4}")?;
        }
        for (truth, row) in self.rows().enumerate() {
            write!(f, "\n{truth:>16}")?;
            for &count in row {
                if count == 0 {
                    write!(f, " {:>4}", "·")?;
                } else {
                    write!(f, " {count:>4}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut table = Confusion::new(3);
        table.add(&[0, 1, 2, 2], &[0, 2, 2, 2]);
        assert_eq!((table.count(1, 2), table.count(2, 2)), (1, 2));
        assert!((table.accuracy() - 0.75).abs() < 1e-12);
        assert_eq!(table.to_string().lines().last(), Some("               2    ·    ·    2"));
    }
}
