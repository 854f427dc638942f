//! The options of convolutions.

/// Zeros added before and after each of `D` axes.
///
/// ```
/// use wgrad::ops::Sides;
/// assert_eq!(Sides::from([1, 2]), Sides { before: [1, 2], after: [1, 2] });
/// assert_eq!(Sides::from([[0, 1], [2, 3]]), Sides { before: [0, 2], after: [1, 3] });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides<const D: usize> {
    /// Zeros in front of the first element.
    pub before: [usize; D],
    /// Zeros behind the last element.
    pub after: [usize; D],
}

impl<const D: usize> From<usize> for Sides<D> {
    fn from(all: usize) -> Sides<D> {
        [all; D].into()
    }
}

impl<const D: usize> From<[usize; D]> for Sides<D> {
    fn from(both: [usize; D]) -> Sides<D> {
        Sides { before: both, after: both }
    }
}

impl<const D: usize> From<[[usize; 2]; D]> for Sides<D> {
    fn from(sides: [[usize; 2]; D]) -> Sides<D> {
        Sides { before: sides.map(|[before, _]| before), after: sides.map(|[_, after]| after) }
    }
}

/// The padding of a convolution over `D` axes: numbers of zeros, or as many as keep the size.
///
/// One number is for all sides, one an axis for both of its sides, `[before, after]` are different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const D: usize> {
    /// So many zeros.
    Sides(Sides<D>),
    /// As many zeros as make y as large as x, `padding="same"` in PyTorch: an odd one is behind the last element.
    /// The stride must be 1.
    Same,
}

impl<const D: usize> From<Sides<D>> for Padding<D> {
    fn from(sides: Sides<D>) -> Padding<D> {
        Padding::Sides(sides)
    }
}

impl<const D: usize> From<usize> for Padding<D> {
    fn from(all: usize) -> Padding<D> {
        Padding::Sides(all.into())
    }
}

impl<const D: usize> From<[usize; D]> for Padding<D> {
    fn from(both: [usize; D]) -> Padding<D> {
        Padding::Sides(both.into())
    }
}

impl<const D: usize> From<[[usize; 2]; D]> for Padding<D> {
    fn from(sides: [[usize; 2]; D]) -> Padding<D> {
        Padding::Sides(sides.into())
    }
}

/// The options of a convolution over `D` axes: [`Tensor::conv1d`](crate::graph::Tensor::conv1d) and its neighbours.
///
/// ```
/// use wgrad::ops::{Conv2d, Padding};
/// let options = Conv2d::default().stride([2, 2]).padding([1, 1]);
/// assert_eq!(options, Conv2d { stride: [2, 2], padding: [1, 1].into(), dilation: [1, 1], groups: 1 });
/// assert_eq!(options.padding([[0, 1], [0, 1]]).padding, [[0, 1], [0, 1]].into());
/// assert_eq!(options.padding(Padding::Same).padding, Padding::Same);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv<const D: usize> {
    /// The distance between windows; 1 if not said.
    pub stride: [usize; D],
    /// Zeros added on each side; none if not said.
    pub padding: Padding<D>,
    /// The distance between the elements of a window; 1 if not said.
    pub dilation: [usize; D],
    /// Groups of channels that see only each other; 1 if not said.
    pub groups: usize,
}

/// The options of [`Tensor::conv1d`](crate::graph::Tensor::conv1d).
pub type Conv1d = Conv<1>;
/// The options of [`Tensor::conv2d`](crate::graph::Tensor::conv2d), each for rows and columns.
pub type Conv2d = Conv<2>;
/// The options of [`Tensor::conv3d`](crate::graph::Tensor::conv3d), each for depth, rows and columns.
pub type Conv3d = Conv<3>;

impl<const D: usize> Default for Conv<D> {
    fn default() -> Conv<D> {
        Conv { stride: [1; D], padding: [0; D].into(), dilation: [1; D], groups: 1 }
    }
}

impl<const D: usize> Conv<D> {
    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; D]) -> Conv<D> {
        Conv { stride, ..self }
    }

    /// The same with zeros added on each side: one number an axis, `[before, after]`, or [`Padding::Same`].
    pub fn padding(self, padding: impl Into<Padding<D>>) -> Conv<D> {
        Conv { padding: padding.into(), ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; D]) -> Conv<D> {
        Conv { dilation, ..self }
    }

    /// The same with groups of channels.
    pub fn groups(self, groups: usize) -> Conv<D> {
        Conv { groups, ..self }
    }

    /// The same over three axes, those in front of size 1.
    pub(super) fn widened(self) -> Conv<3> {
        let padding = match self.padding {
            Padding::Sides(sides) => Padding::Sides(sides.widened()),
            Padding::Same => Padding::Same,
        };
        Conv { stride: widen(1, self.stride), padding, dilation: widen(1, self.dilation), groups: self.groups }
    }
}

/// The options of a transposed convolution over `D` axes:
/// [`Tensor::conv_transpose1d`](crate::graph::Tensor::conv_transpose1d) and its neighbours.
///
/// ```
/// use wgrad::ops::ConvTranspose1d;
/// let options = ConvTranspose1d::default().stride([2]).padding([1]).output_padding([1]);
/// assert_eq!(options.padding, [[1, 1]].into());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose<const D: usize> {
    /// The distance between the windows that each element spreads over; 1 if not said.
    pub stride: [usize; D],
    /// Elements of the result left out on each side; none if not said.
    pub padding: Sides<D>,
    /// Elements added behind the last, less than the stride or the dilation; none if not said.
    pub output_padding: [usize; D],
    /// The distance between the elements of a window; 1 if not said.
    pub dilation: [usize; D],
    /// Groups of channels that see only each other; 1 if not said.
    pub groups: usize,
}

/// The options of [`Tensor::conv_transpose1d`](crate::graph::Tensor::conv_transpose1d).
pub type ConvTranspose1d = ConvTranspose<1>;
/// The options of [`Tensor::conv_transpose2d`](crate::graph::Tensor::conv_transpose2d), each for rows and columns.
pub type ConvTranspose2d = ConvTranspose<2>;
/// The options of [`Tensor::conv_transpose3d`](crate::graph::Tensor::conv_transpose3d), each for depth, rows and
/// columns.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> Default for ConvTranspose<D> {
    fn default() -> ConvTranspose<D> {
        ConvTranspose {
            stride: [1; D],
            padding: [0; D].into(),
            output_padding: [0; D],
            dilation: [1; D],
            groups: 1,
        }
    }
}

impl<const D: usize> ConvTranspose<D> {
    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; D]) -> ConvTranspose<D> {
        ConvTranspose { stride, ..self }
    }

    /// The same with elements left out on each side: one number an axis, or `[before, after]`.
    pub fn padding(self, padding: impl Into<Sides<D>>) -> ConvTranspose<D> {
        ConvTranspose { padding: padding.into(), ..self }
    }

    /// The same with elements added behind the last.
    pub fn output_padding(self, output_padding: [usize; D]) -> ConvTranspose<D> {
        ConvTranspose { output_padding, ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; D]) -> ConvTranspose<D> {
        ConvTranspose { dilation, ..self }
    }

    /// The same with groups of channels.
    pub fn groups(self, groups: usize) -> ConvTranspose<D> {
        ConvTranspose { groups, ..self }
    }

    /// The same over three axes, those in front of size 1.
    pub(super) fn widened(self) -> ConvTranspose<3> {
        ConvTranspose {
            stride: widen(1, self.stride),
            padding: self.padding.widened(),
            output_padding: widen(0, self.output_padding),
            dilation: widen(1, self.dilation),
            groups: self.groups,
        }
    }
}

impl<const D: usize> Sides<D> {
    pub(super) fn widened(self) -> Sides<3> {
        Sides { before: widen(0, self.before), after: widen(0, self.after) }
    }
}

/// Numbers for three axes, from those for the last `D`.
fn widen<const D: usize>(front: usize, numbers: [usize; D]) -> [usize; 3] {
    std::array::from_fn(|axis| (axis + D).checked_sub(3).map_or(front, |axis| numbers[axis]))
}
