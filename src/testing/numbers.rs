//! Arrays of `f64` for definitions.

use crate::data::Shape;

/// An array of `f64`, row-major: what a definition computes with.
///
/// Made for three-line definitions, not for speed.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    shape: Shape,
    data: Vec<f64>,
}

impl Numbers {
    /// Numbers of a shape.
    ///
    /// # Panics
    /// When their count is not that of the shape.
    pub fn new(shape: impl Into<Shape>, data: Vec<f64>) -> Numbers {
        let shape = shape.into();
        assert_eq!(shape.numel(), data.len(), "numbers of shape {shape}");
        Numbers { shape, data }
    }

    /// The number `of(index)` at every index.
    pub fn from_fn(shape: impl Into<Shape>, mut of: impl FnMut(&[usize]) -> f64) -> Numbers {
        let shape = shape.into();
        let mut index = vec![0; shape.rank()];
        let data = (0..shape.numel())
            .map(|flat| {
                let mut rest = flat;
                for d in (0..shape.rank()).rev() {
                    index[d] = rest % shape[d];
                    rest /= shape[d];
                }
                of(&index)
            })
            .collect();
        Numbers { shape, data }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The numbers, row-major.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// The number at an index.
    ///
    /// # Panics
    /// When the index is outside the shape.
    pub fn at(&self, index: &[usize]) -> f64 {
        assert_eq!(index.len(), self.shape.rank(), "index {index:?} into {}", self.shape);
        let inside = index.iter().zip(self.shape.iter()).all(|(i, size)| i < size);
        assert!(inside, "index {index:?} is outside {}", self.shape);
        self.data[index.iter().zip(self.shape.strides()).map(|(i, stride)| i * stride).sum::<usize>()]
    }

    /// `f` of every number.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Numbers {
        Numbers { shape: self.shape.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }

    /// `f` of the pairs of two arrays that broadcast.
    ///
    /// # Panics
    /// When they do not.
    pub fn zip(&self, other: &Numbers, f: impl Fn(f64, f64) -> f64) -> Numbers {
        let shape = self.shape.broadcast(&other.shape).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let (a, b) = (self.expand(shape.clone()), other.expand(shape.clone()));
        let data = a.data.iter().zip(&b.data).map(|(&x, &y)| f(x, y)).collect();
        Numbers { shape, data }
    }

    /// The array repeated to a larger shape.
    pub fn expand(&self, shape: impl Into<Shape>) -> Numbers {
        let shape = shape.into();
        let strides = self.shape.broadcast_strides(&shape);
        Numbers::from_fn(shape, |index| {
            self.data[index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()]
        })
    }

    /// The same numbers in another shape.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Numbers {
        Numbers::new(shape, self.data.clone())
    }

    /// The sum of all numbers.
    pub fn sum(&self) -> f64 {
        self.data.iter().sum()
    }

    pub(super) fn with(&self, flat: usize, value: f64) -> Numbers {
        let mut copy = self.clone();
        copy.data[flat] = value;
        copy
    }
}

/// The error function in `f64`, for definitions: its series near 0, Laplace's continued fraction beyond.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..80 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        x.signum() * std::f64::consts::FRAC_2_SQRT_PI * sum
    } else {
        let fraction = (1..60).rev().fold(a, |below, n| a + f64::from(n) / 2.0 / below);
        x.signum() * (1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt()))
    }
}
