//! max_pool2d: y[n, c, i, j] = max x[n, c, i·stride − padding + r·dilation, …] over the window (r, s).

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// Iterations of all its loops that one thread may make on Mesa's software driver, which stops them without a word.
const MOST_ITERATIONS: usize = 65_000;

/// The options of [`Tensor::max_pool2d`], each for rows and columns.
///
/// ```
/// use wgrad::ops::MaxPool2d;
/// let options = MaxPool2d::new(3).stride([2, 2]);
/// assert_eq!(options, MaxPool2d { kernel: [3, 3], stride: Some([2, 2]), padding: [0, 0], dilation: [1, 1] });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// The elements of a window.
    pub kernel: [usize; 2],
    /// The distance between windows; `None` is the kernel, so that they touch.
    pub stride: Option<[usize; 2]>,
    /// −∞ added on each side, at most half a window.
    pub padding: [usize; 2],
    /// The distance between the elements of a window.
    pub dilation: [usize; 2],
}

impl MaxPool2d {
    /// Square windows that touch.
    pub fn new(kernel: usize) -> MaxPool2d {
        MaxPool2d { kernel: [kernel; 2], stride: None, padding: [0; 2], dilation: [1; 2] }
    }

    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; 2]) -> MaxPool2d {
        MaxPool2d { stride: Some(stride), ..self }
    }

    /// The same with −∞ added on each side.
    pub fn padding(self, padding: [usize; 2]) -> MaxPool2d {
        MaxPool2d { padding, ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; 2]) -> MaxPool2d {
        MaxPool2d { dilation, ..self }
    }

    fn strides(&self) -> [usize; 2] {
        self.stride.unwrap_or(self.kernel)
    }

    /// The elements from the first to the last of a window along an axis.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    fn output(&self, x: &Shape) -> Result<Shape, Misfit> {
        if !matches!(x.rank(), 3 | 4) {
            return Err(Misfit::shape(format!("needs x [N, C, H, W] or [C, H, W], not {x}")));
        }
        let (kernel, stride, dilation) = (self.kernel, self.strides(), self.dilation);
        if kernel.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
            let reason = format!("window {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1");
            return Err(Misfit::shape(reason));
        }
        let mut y = x.clone();
        for axis in 0..2 {
            let at = x.rank() - 2 + axis;
            let (padding, reach) = (self.padding[axis], self.reach(axis));
            let window = match dilation[axis] {
                1 => format!("window {}", kernel[axis]),
                dilation => format!("window {} with dilation {dilation}", kernel[axis]),
            };
            if padding > reach / 2 {
                return Err(Misfit::shape(format!("padding {padding} is more than half of {window}")));
            }
            let Some(room) = (x[at] + 2 * padding).checked_sub(reach) else {
                return Err(Misfit::shape(format!("{window} does not fit {} with padding {padding}", x[at])));
            };
            y = y.with(at, room / stride[axis] + 1);
        }
        Ok(y)
    }

    /// The most windows that one row, and that four neighbouring columns lie in.
    fn covering(&self) -> [usize; 2] {
        let stride = self.strides();
        [self.reach(0).div_ceil(stride[0]), (self.reach(1) + 3).div_ceil(stride[1])]
    }

    /// The fields of `Sizes` in the shader, for images and maxima of these shapes.
    fn params(&self, x: &Shape, y: &Shape) -> Params {
        let rank = x.rank();
        Params::new()
            .u32(x[..rank - 2].iter().product())
            .all(x[rank - 2..].iter().copied())
            .all(y[rank - 2..].iter().copied())
            .all(self.kernel)
            .all(self.strides())
            .all(self.padding)
            .all(self.dilation)
            .all(self.covering())
    }

    /// Refuses what a thread of a software driver could not finish.
    fn check(&self, io: &Io, target: &Target, [rows, columns]: [usize; 2]) -> Result<(), Misfit> {
        io.fits(target)?;
        if target.class.is_software() && rows * (columns + 1) > MOST_ITERATIONS {
            let [height, width] = self.kernel;
            let reason = format!("window [{height}, {width}] makes a thread loop {} times", rows * (columns + 1));
            return Err(Misfit::limit(format!("{reason}, this driver stops it after {MOST_ITERATIONS}")));
        }
        Ok(())
    }
}

impl Tensor {
    /// The largest element of each window, `torch.nn.functional.max_pool2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C, H′, W′]` or `[C, H′, W′]` with
    /// H′ = ⌊(H + 2·padding − dilation·(kernel−1) − 1)/stride⌋ + 1. NaN is larger than every number. The gradient
    /// goes to the first of equal elements in row-major order, as in PyTorch (and to the last of several NaNs).
    ///
    /// ```
    /// use wgrad::{ops::MaxPool2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 64, 55, 55]);
    /// let y = x.max_pool2d(MaxPool2d::new(3).stride([2, 2]));
    /// assert_eq!(y.shape(), [8, 64, 27, 27].into());
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: a window larger than the padded image, padding of more than half a window, a window,
    /// stride or dilation of 0.
    #[track_caller]
    pub fn max_pool2d(&self, options: MaxPool2d) -> Tensor {
        self.max_pool2d_with_index(options).0
    }

    /// [`max_pool2d`](Tensor::max_pool2d) and where each maximum is: a `u32` tensor with h·W + w for each element of
    /// y, `return_indices` in PyTorch. A window that holds nothing but padding has `u32::MAX`.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_with_index(&self, options: MaxPool2d) -> (Tensor, Tensor) {
        let mut outputs = self.graph().apply(options, &[self]);
        let index = outputs.swap_remove(1);
        (outputs.swap_remove(0), index)
    }
}

fn one_float(inputs: &[TensorDesc]) -> Result<DType, Misfit> {
    let dtype = inputs[0].dtype;
    if dtype.is_float() {
        Ok(dtype)
    } else {
        Err(Misfit::dtype(format!("needs floating point numbers, not {}", inputs[0])))
    }
}

/// Workgroups of 64 threads that each compute four neighbours in a row.
fn groups(shape: &Shape) -> u64 {
    let (lines, columns) = (&shape[..shape.rank() - 1], shape[shape.rank() - 1]);
    (lines.iter().product::<usize>() * columns.div_ceil(4)).div_ceil(64) as u64
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = one_float(inputs)?;
        let y = self.output(&inputs[0].shape)?;
        Ok(vec![TensorDesc::new(&y, dtype), TensorDesc::new(y, DType::U32)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.check(io, target, self.kernel)?;
        let elements = io.y_shape(0).numel();
        let window = self.kernel[0] * self.kernel[1];
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d", io.real()))
            .read(io.x(0))
            .write(io.y(0))
            .write(io.y(1))
            .params(self.params(io.x_shape(0), io.y_shape(0)))
            .groups(groups(io.y_shape(0)))
            .cost((elements * window) as u64, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = BackwardMaxPool2d { options: *self, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.y(1)]))])
    }
}

/// dx[n, c, h, w] = Σ dy[n, c, i, j] over the windows whose maximum is at (h, w).
#[derive(Debug)]
struct BackwardMaxPool2d {
    options: MaxPool2d,
    x: Shape,
}

impl Op for BackwardMaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d_backward"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.x, one_float(inputs)?)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [rows, columns] = self.options.covering();
        self.options.check(io, target, [rows, columns])?;
        let elements = self.x.numel();
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d_grad", io.real()))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.options.params(&self.x, io.x_shape(0)))
            .groups(groups(&self.x))
            .cost((elements * rows * columns) as u64, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = TakeMaxima { options: self.options };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}

/// y[n, c, i, j] = x[n, c, index[n, c, i, j]]: the gradient of [`BackwardMaxPool2d`].
#[derive(Debug)]
struct TakeMaxima {
    options: MaxPool2d,
}

impl Op for TakeMaxima {
    fn name(&self) -> &'static str {
        "max_pool2d_take"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&inputs[1].shape, one_float(inputs)?)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d_take", io.real()))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.options.params(io.x_shape(0), io.y_shape(0)))
            .groups(io.y_shape(0).numel().div_ceil(64) as u64)
            .cost(0, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = BackwardMaxPool2d { options: self.options, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        autodiff::gradients,
        data::Array,
        graph::{Graph, Mode},
        kernel::DeviceClass,
        plan::PlanOptions,
        testing::{Check, Numbers, context, run_on},
    };
    use proptest::prelude::*;

    const CLASSES: [DeviceClass; 2] = [DeviceClass::Software, DeviceClass::Portable];

    /// The definition for finite numbers.
    fn definition(x: &Numbers, options: MaxPool2d) -> Numbers {
        let shape = options.output(x.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let rank = shape.rank();
        let (stride, [height, width]) = (options.strides(), [x.shape()[rank - 2], x.shape()[rank - 1]]);
        Numbers::from_fn(shape, |y| {
            let mut best = f64::NEG_INFINITY;
            for r in 0..options.kernel[0] {
                for s in 0..options.kernel[1] {
                    let row = (y[rank - 2] * stride[0] + r * options.dilation[0]).wrapping_sub(options.padding[0]);
                    let column = (y[rank - 1] * stride[1] + s * options.dilation[1]).wrapping_sub(options.padding[1]);
                    if row < height && column < width {
                        best = best.max(x.at(&[&y[..rank - 2], &[row, column]].concat()));
                    }
                }
            }
            best
        })
    }

    fn check(x: &[usize], options: MaxPool2d) {
        Check::new(move |[x]| x.max_pool2d(options), move |[x]| definition(&x, options)).shapes([x]).run();
    }

    #[test]
    fn equals_its_definition() {
        let pool = MaxPool2d::new;
        check(&[1, 1, 1, 1], pool(1));
        check(&[2, 3, 8, 8], pool(2));
        check(&[3, 8, 7], pool(2));
        check(&[1, 2, 13, 13], pool(3).stride([2, 2]));
        check(&[2, 3, 7, 9], pool(3).stride([1, 2]).padding([1, 1]));
        check(&[1, 3, 9, 9], pool(3).stride([1, 1]).padding([1, 2]).dilation([2, 2]));
        check(&[1, 1, 4, 6], MaxPool2d { kernel: [4, 6], ..pool(1) });
        check(&[5, 7, 31, 17], pool(3).stride([2, 2]));
    }

    fn ints(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
        [range.clone(), range]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn equals_its_definition_for_random_attributes(
            planes in ints(1..=4),
            (kernel, stride, dilation) in (ints(1..=4), ints(1..=5), ints(1..=3)),
            (half, extra) in (ints(0..=2), ints(0..=9)),
        ) {
            let mut options = MaxPool2d { kernel, stride: Some(stride), padding: [0; 2], dilation };
            let reach = [options.reach(0), options.reach(1)];
            // Dilated windows may miss a small image altogether; that has a test of its own.
            options.padding = [0, 1].map(|axis| half[axis].min(reach[axis] / 2).min(if dilation[axis] == 1 { 2 } else { 0 }));
            let size = |axis: usize| reach[axis] + extra[axis] - options.padding[axis];
            check(&[planes[0], planes[1], size(0), size(1)], options);
        }
    }

    /// Values, places and the gradient of Σ y.
    fn pooled(shape: [usize; 4], x: &[f32], options: MaxPool2d, class: DeviceClass) -> (Vec<f32>, Vec<u32>, Vec<f32>) {
        let graph = Graph::new(Mode::Infer);
        let input = graph.input("x", shape);
        let (y, index) = input.max_pool2d_with_index(options);
        let dx = gradients(&y.sum_all(), &[input]).remove(0).unwrap();
        let named = [("y", &y), ("index", &index), ("dx", &dx)];
        let inputs = [("x", Array::from_f32(shape, x).unwrap())];
        let target = context().target().with_class(class);
        let found = run_on(&graph, &named, &inputs, &target, PlanOptions::default()).unwrap();
        (found[0].to_f32(), found[1].to_u32(), found[2].to_f32())
    }

    #[test]
    fn the_first_of_equal_maxima_and_the_last_nan_win_as_in_pytorch() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for class in CLASSES {
            let pool = |row: &[f32]| {
                let options = MaxPool2d { kernel: [1, row.len()], ..MaxPool2d::new(1) };
                pooled([1, 1, 1, row.len()], row, options, class)
            };
            let (y, index, dx) = pool(&[3.0, 5.0, 5.0, 5.0]);
            assert_eq!((y, index, dx), (vec![5.0], vec![1], vec![0.0, 1.0, 0.0, 0.0]));
            let (y, index, dx) = pool(&[1.0, nan, 2.0, nan, inf]);
            assert!(y[0].is_nan());
            assert_eq!((index, dx), (vec![3], vec![0.0, 0.0, 0.0, 1.0, 0.0]));
            let (y, index, _) = pool(&[-inf, -inf, -inf]);
            assert_eq!((y, index), (vec![-inf], vec![0]));
            let (y, index, _) = pool(&[-inf, 1.0, inf, nan]);
            assert!(y[0].is_nan());
            assert_eq!(index, vec![3]);
            // Zeros are equal whatever their sign.
            let (_, index, _) = pool(&[-0.0, 0.0]);
            assert_eq!(index, vec![0]);
        }
    }

    #[test]
    fn padding_is_below_every_number() {
        for class in CLASSES {
            let options = MaxPool2d::new(3).stride([2, 2]).padding([1, 1]);
            let (y, index, dx) = pooled([1, 1, 2, 2], &[-4.0, -3.0, -2.0, -1.0], options, class);
            assert_eq!((y, index, dx), (vec![-1.0], vec![3], vec![0.0, 0.0, 0.0, 1.0]));
            // The window lies around the only element and holds nothing.
            let options = MaxPool2d { kernel: [1, 2], stride: Some([1, 1]), padding: [0, 2], dilation: [1, 3] };
            let (y, index, dx) = pooled([1, 1, 1, 1], &[7.0], options, class);
            assert_eq!((y, index, dx), (vec![f32::NEG_INFINITY; 2], vec![u32::MAX; 2], vec![0.0]));
        }
    }

    #[test]
    fn overlapping_windows_add_their_gradients() {
        for class in CLASSES {
            let options = MaxPool2d::new(2).stride([1, 1]);
            let (_, index, dx) = pooled([1, 1, 3, 3], &[0.0, 1.0, 0.0, 2.0, 9.0, 3.0, 0.0, 4.0, 0.0], options, class);
            assert_eq!((index, dx), (vec![4; 4], vec![0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0]));
        }
    }

    #[test]
    fn gradients_have_gradients() {
        let options = MaxPool2d::new(3).stride([2, 2]).padding([1, 1]);
        Check::new(
            // ∂(Σ pool(x)²)/∂x = 2·pool(x) where the maximum is; its sum of squares is differentiated once more.
            move |[x]: [Tensor; 1]| {
                let y = x.max_pool2d(options);
                gradients(&y.mul(&y).sum_all(), &[x]).remove(0).unwrap()
            },
            move |[x]| {
                let y = definition(&x, options);
                let mut sum = vec![0.0; x.data().len()];
                for &best in y.data() {
                    let at = x.data().iter().position(|&x| x == best).unwrap();
                    sum[at] += 2.0 * best;
                }
                Numbers::new(x.shape().clone(), sum)
            },
        )
        .shapes([[1, 2, 5, 6]])
        .no_half()
        .run();
    }

    #[test]
    fn mistakes_are_named() {
        let error = |shape: &[usize], options: MaxPool2d| {
            let graph = Graph::new(Mode::Infer);
            assert!(graph.input("x", shape).max_pool2d(options).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let pool = MaxPool2d::new;
        assert_eq!(error(&[1, 1, 1, 1], pool(3)), "max_pool2d: window 3 does not fit 1 with padding 0");
        assert_eq!(
            error(&[1, 1, 4, 4], pool(3).dilation([1, 2])),
            "max_pool2d: window 3 with dilation 2 does not fit 4 with padding 0"
        );
        assert_eq!(
            error(&[1, 1, 4, 4], pool(3).padding([2, 0])),
            "max_pool2d: padding 2 is more than half of window 3"
        );
        assert_eq!(error(&[4, 4], pool(2)), "max_pool2d: needs x [N, C, H, W] or [C, H, W], not [4, 4]");
        assert_eq!(
            error(&[1, 1, 4, 4], pool(2).stride([0, 1])),
            "max_pool2d: window [2, 2], stride [0, 1] and dilation [1, 1] must be at least 1"
        );
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [1, 1, 300, 300]).max_pool2d(pool(300));
        let target = context().target().with_class(DeviceClass::Software);
        assert_eq!(
            graph.plan(&[("y", &y)], &target).unwrap_err().message(),
            "max_pool2d: window [300, 300] makes a thread loop 90300 times, this driver stops it after 65000"
        );
    }
}
