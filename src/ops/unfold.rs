//! unfold: y[(c, r, s), (i, j)] = x[c, i·stride − padding + r·dilation, …], the elements of every window as a column;
//! fold adds the columns up again.

use super::rows::neighbours;
use super::windows::{Windows, finishes, float_of, images, kernel, writing};
use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Target},
    shader,
};

/// The options of [`Tensor::unfold`] and [`Tensor::fold`], each for rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfold {
    /// The elements of a window.
    pub kernel: [usize; 2],
    /// The distance between the elements of a window.
    pub dilation: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// The distance between windows.
    pub stride: [usize; 2],
}

impl Unfold {
    /// Square windows around every element.
    pub fn new(kernel: usize) -> Unfold {
        Unfold { kernel: [kernel; 2], dilation: [1; 2], padding: [0; 2], stride: [1; 2] }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; 2]) -> Unfold {
        Unfold { dilation, ..self }
    }

    /// The same with zeros added on each side.
    pub fn padding(self, padding: [usize; 2]) -> Unfold {
        Unfold { padding, ..self }
    }

    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; 2]) -> Unfold {
        Unfold { stride, ..self }
    }

    fn windows(&self) -> Windows {
        Windows::sliding(self.kernel, self.stride, self.padding, self.dilation, false)
    }

    /// The elements of a window.
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The rows and columns of windows over an image `[…, C, H, W]`.
    fn count(&self, image: &Shape) -> Result<[usize; 2], Misfit> {
        let windows = self.windows();
        windows.checked()?;
        images(image, 2)?;
        let [_, rows, columns] = windows.count(image)?;
        Ok([rows, columns])
    }

    /// The shape of the columns of an image `[…, C, H, W]`.
    fn columns(&self, image: &Shape) -> Result<Shape, Misfit> {
        let [rows, columns] = self.count(image)?;
        let outer = &image[..image.rank() - 3];
        let channels = image[image.rank() - 3];
        Ok(outer.iter().copied().chain([channels * self.taps(), rows * columns]).collect())
    }

    /// One of the two dispatches, `image` and columns being its sides.
    fn emit(&self, entry: &'static str, image: &Shape, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (windows, [rows, columns]) = (self.windows(), self.count(image)?);
        let [height, width] = [image[image.rank() - 2], image[image.rank() - 1]];
        let planes = image[..image.rank() - 2].iter().product();
        let x = [planes, 1, height, width];
        let y = [planes, self.taps(), rows, columns];
        // The elements of a window are the depth of its planes.
        let kernel = kernel(shader!("unfold"), entry, io, 3);
        let covering = windows.covering([1, height, width]);
        let (kernel, over, terms, fours) = if entry == "fold" {
            finishes(target, &format!("an element in up to {:?} windows", &covering[1..]), covering)?;
            let terms = covering.iter().product::<usize>() * io.y_shape(0).numel();
            (kernel.constant("DILATED", (self.dilation != [1, 1]).into()), x, terms, 1)
        } else {
            (kernel.constant("STEP_BY_STEP", (self.stride[1] == 1).into()), y, 0, neighbours(target))
        };
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(windows.params(x, y));
        out.push(writing(dispatch.cost(terms as u64, io.bytes()).finishing(), over, fours));
        Ok(())
    }
}

impl Op for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = float_of(inputs)?;
        Ok(vec![TensorDesc::new(self.columns(&inputs[0].shape)?, dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (inputs[0].shape.rank() == 4).then(|| vec![1])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.emit("unfold", io.x_shape(0), io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let shape = at.x(0).shape();
        let size = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
        Gradients::of([Some(at.dy(0).fold(size, *self))])
    }
}

/// y[c, h, w] = Σ x[(c, r, s), (i, j)] over the windows (i, j) whose element (r, s) is (h, w).
#[derive(Debug)]
struct Fold {
    size: [usize; 2],
    options: Unfold,
}

impl Op for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, dtype) = (&inputs[0].shape, float_of(inputs)?);
        self.options.windows().checked()?;
        let taps = self.options.taps();
        if !matches!(x.rank(), 2 | 3) || !x[x.rank() - 2].is_multiple_of(taps) {
            return Err(Misfit::shape(format!("needs x [N, C·{taps}, L] or [C·{taps}, L], not {x}")));
        }
        let channels = x[x.rank() - 2] / taps;
        let image: Shape = x[..x.rank() - 2].iter().copied().chain([channels]).chain(self.size).collect();
        let columns = self.options.columns(&image)?;
        if columns != *x {
            return Err(Misfit::shape(format!("an image {image} has columns {columns}, not {x}")));
        }
        Ok(vec![TensorDesc::new(image, dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (inputs[0].shape.rank() == 3).then(|| vec![1])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.options.emit("fold", io.y_shape(0), io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0).unfold(self.options))])
    }
}

impl Tensor {
    /// The elements of every window as a column, `torch.nn.functional.unfold` (im2col).
    ///
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C·kernel_h·kernel_w, L]` or `[C·kernel_h·kernel_w, L]`, L the number
    /// of windows, rows × columns with ⌊(H + 2·padding − dilation·(kernel−1) − 1)/stride⌋ + 1 rows.
    ///
    /// ```
    /// use wgrad::{ops::Unfold, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let y = graph.input("x", [2, 3, 8, 9]).unfold(Unfold::new(3));
    /// assert_eq!(y.shape(), [2, 27, 42].into());
    /// ```
    ///
    /// # Gradient
    /// [`fold`](Tensor::fold) of dy.
    ///
    /// # Errors
    /// Recorded in the graph: a window larger than the padded image, a window, stride or dilation of 0, an image
    /// without elements.
    #[track_caller]
    pub fn unfold(&self, options: Unfold) -> Tensor {
        self.graph().apply1(options, &[self])
    }

    /// The image of height and width `size` to which every column adds the elements of its window,
    /// `torch.nn.functional.fold` (col2im): `[N, C·kernel_h·kernel_w, L]` or `[C·kernel_h·kernel_w, L]` gives
    /// `[N, C, H, W]` or `[C, H, W]`. Sums are in a fixed order.
    ///
    /// # Gradient
    /// [`unfold`](Tensor::unfold) of dy.
    ///
    /// # Errors
    /// Recorded in the graph: columns that are not those of such an image.
    #[track_caller]
    pub fn fold(&self, size: [usize; 2], options: Unfold) -> Tensor {
        self.graph().apply1(Fold { size, options }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        autodiff::gradients,
        graph::{Graph, Mode},
        testing::{Check, Numbers},
    };
    use proptest::prelude::*;

    /// Where element `tap` of window `l` lies in an image of this size, if it does.
    fn place(options: &Unfold, [height, width]: [usize; 2], columns: usize, tap: usize, l: usize) -> Option<[usize; 2]> {
        let along = |axis: usize, window: usize, tap: usize| {
            (window * options.stride[axis] + tap * options.dilation[axis]).checked_sub(options.padding[axis])
        };
        let row = along(0, l / columns, tap / options.kernel[1]).filter(|&row| row < height)?;
        let column = along(1, l % columns, tap % options.kernel[1]).filter(|&column| column < width)?;
        Some([row, column])
    }

    fn unfold(x: &Numbers, options: &Unfold) -> Numbers {
        let (rank, taps) = (x.shape().rank(), options.taps());
        let [_, columns] = options.count(x.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let size = [x.shape()[rank - 2], x.shape()[rank - 1]];
        Numbers::from_fn(options.columns(x.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason)), |y| {
            let (outer, [column, l]) = (&y[..y.len() - 2], [y[y.len() - 2], y[y.len() - 1]]);
            let from = place(options, size, columns, column % taps, l);
            from.map_or(0.0, |from| x.at(&[outer, &[column / taps], &from].concat()))
        })
    }

    fn fold(x: &Numbers, image: &Shape, options: &Unfold) -> Numbers {
        let [rows, columns] = options.count(image).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let size = [image[image.rank() - 2], image[image.rank() - 1]];
        Numbers::from_fn(image.clone(), |y| {
            let (outer, [c, h, w]) = (&y[..y.len() - 3], [y[y.len() - 3], y[y.len() - 2], y[y.len() - 1]]);
            let mut sum = 0.0;
            for tap in 0..options.taps() {
                for l in (0..rows * columns).filter(|&l| place(options, size, columns, tap, l) == Some([h, w])) {
                    sum += x.at(&[outer, &[c * options.taps() + tap, l]].concat());
                }
            }
            sum
        })
    }

    fn check(image: &[usize], options: Unfold) {
        Check::new(move |[x]: [Tensor; 1]| x.unfold(options), move |[x]| unfold(&x, &options)).shapes([image]).run();
        let image = Shape::from(image);
        let columns = options.columns(&image).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let size = [image[image.rank() - 2], image[image.rank() - 1]];
        let op = move |[x]: [Tensor; 1]| x.fold(size, options);
        Check::new(op, move |[x]| fold(&x, &image, &options)).shapes([columns]).run();
    }

    #[test]
    fn both_equal_their_definitions() {
        check(&[1, 1, 1, 1], Unfold::new(1));
        check(&[2, 3, 5, 7], Unfold::new(3));
        check(&[3, 6, 5], Unfold::new(2).stride([2, 3]));
        check(&[2, 2, 7, 9], Unfold::new(3).padding([1, 2]).stride([2, 1]));
        check(&[1, 2, 9, 8], Unfold::new(3).dilation([2, 3]).padding([3, 2]).stride([1, 2]));
        check(&[1, 5, 4, 3], Unfold { kernel: [4, 3], ..Unfold::new(1) });
        check(&[0, 2, 4, 4], Unfold::new(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn both_for_random_attributes(
            planes in [1..=2usize, 1..=3],
            (kernel, stride, dilation) in ([1..=3usize, 1..=3], [1..=4usize, 1..=4], [1..=3usize, 1..=3]),
            (padding, extra) in ([0..=3usize, 0..=3], [0..=6usize, 0..=6]),
        ) {
            let size = [0, 1].map(|axis| {
                ((kernel[axis] - 1) * dilation[axis] + 1).saturating_sub(2 * padding[axis]).max(1) + extra[axis]
            });
            check(&[planes[0], planes[1], size[0], size[1]], Unfold { kernel, dilation, padding, stride });
        }
    }

    #[test]
    fn gradients_have_gradients() {
        let options = Unfold::new(3).padding([1, 1]).stride([2, 1]);
        // ∂(Σ unfold(x)²/2)/∂x = fold(unfold(x)).
        let op = move |[x]: [Tensor; 1]| {
            let y = x.unfold(options);
            gradients(&(y.mul(&y).sum_all() * 0.5), &[x]).remove(0).unwrap()
        };
        let definition = move |[x]: [Numbers; 1]| fold(&unfold(&x, &options), x.shape(), &options);
        Check::new(op, definition).shapes([[1, 2, 5, 6]]).no_half().run();
    }

    #[test]
    fn mistakes_are_named() {
        let error = |shape: &[usize], op: &dyn Fn(&Tensor) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(op(&graph.input("x", shape)).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(
            error(&[1, 1, 2, 2], &|x| x.unfold(Unfold::new(3))),
            "unfold: window 3 does not fit 2 with padding 0"
        );
        assert_eq!(error(&[4], &|x| x.unfold(Unfold::new(3))), "unfold: needs x [N, C, H, W] or [C, H, W], not [4]");
        assert_eq!(
            error(&[2, 7, 9], &|x| x.fold([4, 4], Unfold::new(2))),
            "fold: needs x [N, C·4, L] or [C·4, L], not [2, 7, 9]"
        );
        assert_eq!(
            error(&[2, 8, 8], &|x| x.fold([4, 4], Unfold::new(2))),
            "fold: an image [2, 2, 4, 4] has columns [2, 8, 9], not [2, 8, 8]"
        );
        assert_eq!(
            error(&[2, 8, 8], &|x| x.fold([4, 4], Unfold { kernel: [0, 1], ..Unfold::new(1) })),
            "fold: window [0, 1], stride [1, 1] and dilation [1, 1] must be at least 1"
        );
    }
}
