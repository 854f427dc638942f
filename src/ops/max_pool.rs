//! max_pool: y[p, i] = max x[p, i·stride − padding + r·dilation] over the window r, in one to three dimensions.

use super::windows::{Windows, finishes, float_of, planes, writing};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Target},
    shader,
};

/// The options of [`Tensor::max_pool1d`], [`max_pool2d`](Tensor::max_pool2d) and [`max_pool3d`](Tensor::max_pool3d),
/// each for all `D` dimensions.
///
/// ```
/// use wgrad::ops::{MaxPool, MaxPool2d};
/// let options = MaxPool2d::new(3).stride([2, 2]);
/// let same = MaxPool { kernel: [3, 3], stride: Some([2, 2]), padding: [0, 0], dilation: [1, 1], ceil_mode: false };
/// assert_eq!(options, same);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool<const D: usize> {
    /// The elements of a window.
    pub kernel: [usize; D],
    /// The distance between windows; `None` is the kernel, so that they touch.
    pub stride: Option<[usize; D]>,
    /// −∞ added on each side, at most half a window.
    pub padding: [usize; D],
    /// The distance between the elements of a window.
    pub dilation: [usize; D],
    /// Whether a last window may reach past the padding's end.
    pub ceil_mode: bool,
}

/// The options of [`Tensor::max_pool1d`].
pub type MaxPool1d = MaxPool<1>;
/// The options of [`Tensor::max_pool2d`].
pub type MaxPool2d = MaxPool<2>;
/// The options of [`Tensor::max_pool3d`].
pub type MaxPool3d = MaxPool<3>;

impl<const D: usize> MaxPool<D> {
    /// Windows of the same size along every dimension that touch.
    pub fn new(kernel: usize) -> MaxPool<D> {
        MaxPool { kernel: [kernel; D], stride: None, padding: [0; D], dilation: [1; D], ceil_mode: false }
    }

    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; D]) -> MaxPool<D> {
        MaxPool { stride: Some(stride), ..self }
    }

    /// The same with −∞ added on each side.
    pub fn padding(self, padding: [usize; D]) -> MaxPool<D> {
        MaxPool { padding, ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; D]) -> MaxPool<D> {
        MaxPool { dilation, ..self }
    }

    /// The same where a last window may reach past the padding's end.
    pub fn ceil_mode(self, ceil_mode: bool) -> MaxPool<D> {
        MaxPool { ceil_mode, ..self }
    }

    fn windows(&self) -> Windows {
        let stride = self.stride.unwrap_or(self.kernel);
        Windows::sliding(self.kernel, stride, self.padding, self.dilation, self.ceil_mode)
    }
}

impl Tensor {
    /// The largest element of each window of a row, `torch.nn.functional.max_pool1d`.
    ///
    /// `[N, C, L]` or `[C, L]` gives `[N, C, L′]` or `[C, L′]`; otherwise as [`max_pool2d`](Tensor::max_pool2d).
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element; windows that overlap add.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool1d(&self, options: MaxPool1d) -> Tensor {
        self.max_pool1d_with_index(options).0
    }

    /// The largest element of each window, `torch.nn.functional.max_pool2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C, H′, W′]` or `[C, H′, W′]` with
    /// H′ = ⌊(H + 2·padding − dilation·(kernel−1) − 1)/stride⌋ + 1, or ⌈…⌉ with `ceil_mode`, without a window that
    /// would begin behind the image. NaN is larger than every number.
    ///
    /// ```
    /// use wgrad::{ops::MaxPool2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 64, 55, 55]);
    /// let y = x.max_pool2d(MaxPool2d::new(3).stride([2, 2]));
    /// assert_eq!(y.shape(), [8, 64, 27, 27].into());
    /// ```
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element in row-major order, as in PyTorch (to the last of several
    /// NaNs); windows that overlap add, in a fixed order.
    ///
    /// # Errors
    /// Recorded in the graph: a window larger than the padded image, padding of more than half a window, a window,
    /// stride or dilation of 0, an image without elements.
    #[track_caller]
    pub fn max_pool2d(&self, options: MaxPool2d) -> Tensor {
        self.max_pool2d_with_index(options).0
    }

    /// The largest element of each window of a volume, `torch.nn.functional.max_pool3d`.
    ///
    /// `[N, C, D, H, W]` or `[C, D, H, W]` gives `[N, C, D′, H′, W′]` or `[C, D′, H′, W′]`; otherwise as
    /// [`max_pool2d`](Tensor::max_pool2d).
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element; windows that overlap add.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool3d(&self, options: MaxPool3d) -> Tensor {
        self.max_pool3d_with_index(options).0
    }

    /// [`max_pool1d`](Tensor::max_pool1d) and where each maximum is, as
    /// [`max_pool2d_with_index`](Tensor::max_pool2d_with_index).
    ///
    /// # Gradient
    /// That of the maxima, as [`max_pool1d`](Tensor::max_pool1d); indices have none.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool1d_with_index(&self, options: MaxPool1d) -> (Tensor, Tensor) {
        self.maxima("max_pool1d", options.windows())
    }

    /// [`max_pool2d`](Tensor::max_pool2d) and where each maximum is: a `u32` tensor with h·W + w for each element of
    /// y, `return_indices` in PyTorch. A window that holds nothing but padding has `u32::MAX`.
    ///
    /// # Gradient
    /// That of the maxima, as [`max_pool2d`](Tensor::max_pool2d); indices have none.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_with_index(&self, options: MaxPool2d) -> (Tensor, Tensor) {
        self.maxima("max_pool2d", options.windows())
    }

    /// [`max_pool3d`](Tensor::max_pool3d) and where each maximum is: (d·H + h)·W + w, as
    /// [`max_pool2d_with_index`](Tensor::max_pool2d_with_index).
    ///
    /// # Gradient
    /// That of the maxima, as [`max_pool3d`](Tensor::max_pool3d); indices have none.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool3d_with_index(&self, options: MaxPool3d) -> (Tensor, Tensor) {
        self.maxima("max_pool3d", options.windows())
    }

    /// The largest element of each of `size` windows that share a row out, `torch.nn.functional.adaptive_max_pool1d`:
    /// see [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d).
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element; windows that overlap add.
    ///
    /// # Errors
    /// As [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d).
    #[track_caller]
    pub fn adaptive_max_pool1d(&self, size: [usize; 1]) -> Tensor {
        self.maxima("adaptive_max_pool1d", Windows::adaptive(size)).0
    }

    /// The largest element of each of `size` windows that share an image out,
    /// `torch.nn.functional.adaptive_max_pool2d`: `[N, C, H, W]` or `[C, H, W]` gives `[N, C, size…]` or
    /// `[C, size…]`. Window i of o over n elements goes from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉.
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element; windows that overlap add.
    ///
    /// # Errors
    /// Recorded in the graph: another rank, an image without elements.
    #[track_caller]
    pub fn adaptive_max_pool2d(&self, size: [usize; 2]) -> Tensor {
        self.maxima("adaptive_max_pool2d", Windows::adaptive(size)).0
    }

    /// The largest element of each of `size` windows that share a volume out,
    /// `torch.nn.functional.adaptive_max_pool3d`: see [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d).
    ///
    /// # Gradient
    /// dy of each window flows to its first largest element; windows that overlap add.
    ///
    /// # Errors
    /// As [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d).
    #[track_caller]
    pub fn adaptive_max_pool3d(&self, size: [usize; 3]) -> Tensor {
        self.maxima("adaptive_max_pool3d", Windows::adaptive(size)).0
    }

    #[track_caller]
    fn maxima(&self, name: &'static str, windows: Windows) -> (Tensor, Tensor) {
        let mut outputs = self.graph().apply(Maxima { name, windows }, &[self]);
        let index = outputs.swap_remove(1);
        (outputs.swap_remove(0), index)
    }
}

/// The largest elements and their places in their planes.
#[derive(Debug)]
struct Maxima {
    name: &'static str,
    windows: Windows,
}

impl Op for Maxima {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = float_of(inputs)?;
        let y = self.windows.output(&inputs[0].shape)?;
        Ok(vec![TensorDesc::new(&y, dtype), TensorDesc::new(y, DType::U32)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.windows.dims])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let dims = self.windows.dims;
        let (x, y) = (planes(io.x_shape(0), dims), planes(io.y_shape(0), dims));
        let (window, _) = self.windows.longest([x[1], x[2], x[3]]);
        finishes(target, &format!("window {:?}", &window[3 - dims..]), window)?;
        let elements = io.y_shape(0).numel() * window.iter().product::<usize>();
        let kernel = self.windows.kernel(shader!("max_pool"), "max_pool", io);
        let kernel = self.windows.reading_near(kernel, x, target);
        let kernel = match self.windows.small_rows() {
            Some(rows) => kernel.constant("ROWS", rows as u32),
            None => kernel,
        };
        let dispatch = Dispatch::new(kernel)
            .read(io.x(0))
            .write(io.y(0))
            .write(io.y(1))
            .params(self.windows.params(x, y))
            .cost(elements as u64, io.bytes())
            .finishing();
        out.push(writing(dispatch, y, 1));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = MaximaGrad { windows: self.windows, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.y(1)]))])
    }
}

/// dx[p, h] = Σ dy[p, i] over the windows whose maximum is at h.
#[derive(Debug)]
struct MaximaGrad {
    windows: Windows,
    x: Shape,
}

impl Op for MaximaGrad {
    fn name(&self) -> &'static str {
        "max_pool_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.x, float_of(inputs)?)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.windows.dims; 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let dims = self.windows.dims;
        let (x, y) = (planes(io.y_shape(0), dims), planes(io.x_shape(0), dims));
        let covering = self.windows.covering([x[1], x[2], x[3]]);
        finishes(target, &format!("an element in up to {:?} windows", &covering[3 - dims..]), covering)?;
        let elements = io.y_shape(0).numel() * covering.iter().product::<usize>();
        let kernel = self.windows.kernel(shader!("max_pool"), "max_pool_grad", io);
        let dispatch = Dispatch::new(kernel.constant("CLOSE", (covering[2] <= 4).into()))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.windows.params(x, y))
            .cost(elements as u64, io.bytes())
            .finishing();
        out.push(writing(dispatch, x, 1));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = TakeMaxima { windows: self.windows };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}

/// y[p, i] = x[p, index[p, i]]: the gradient of [`MaximaGrad`].
#[derive(Debug)]
struct TakeMaxima {
    windows: Windows,
}

impl Op for TakeMaxima {
    fn name(&self) -> &'static str {
        "max_pool_take"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&inputs[1].shape, float_of(inputs)?)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.windows.dims; 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (x, y) = (planes(io.x_shape(0), self.windows.dims), planes(io.y_shape(0), self.windows.dims));
        let dispatch = Dispatch::new(self.windows.kernel(shader!("max_pool"), "max_pool_take", io))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.windows.params(x, y))
            .groups(io.y_shape(0).numel().div_ceil(64) as u64)
            .cost(0, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = MaximaGrad { windows: self.windows, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::windows;
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

    /// The definition for finite numbers: the largest element inside the image of each window.
    fn definition<const D: usize>(x: &Numbers, options: MaxPool<D>) -> Numbers {
        let shape = options.windows().output(x.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let (outer, stride) = (shape.rank() - D, options.stride.unwrap_or(options.kernel));
        Numbers::from_fn(shape, |y| {
            let window = Numbers::from_fn(options.kernel, |r| {
                let place = |d: usize| (y[outer + d] * stride[d] + r[d] * options.dilation[d]).wrapping_sub(options.padding[d]);
                let place: Vec<usize> = y[..outer].iter().copied().chain((0..D).map(place)).collect();
                let inside = place.iter().zip(x.shape().iter()).all(|(i, n)| i < n);
                if inside { x.at(&place) } else { f64::NEG_INFINITY }
            });
            window.data().iter().copied().fold(f64::NEG_INFINITY, f64::max)
        })
    }

    fn pool<const D: usize>(x: &Tensor, options: MaxPool<D>) -> Tensor {
        x.maxima("max_pool", options.windows()).0
    }

    fn check<const D: usize>(x: &[usize], options: MaxPool<D>) {
        Check::new(move |[x]| pool(&x, options), move |[x]| definition(&x, options)).shapes([x]).run();
    }

    /// In `f32` only: among many halves some windows have two equal maxima, of which the first one gets the whole
    /// gradient, where central differences give it half.
    fn check_single<const D: usize>(x: &[usize], options: MaxPool<D>) {
        Check::new(move |[x]| pool(&x, options), move |[x]| definition(&x, options)).shapes([x]).no_half().run();
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

    #[test]
    fn equals_its_definition_along_rows_and_in_volumes() {
        check(&[2, 3, 19], MaxPool1d::new(3).stride([2]).padding([1]).ceil_mode(true));
        check(&[3, 301], MaxPool1d::new(5).stride([1]).dilation([3]));
        check(&[1, 1], MaxPool1d::new(1));
        check(&[1, 1, 1], MaxPool1d::new(3).ceil_mode(true));
        check(&[2, 2, 5, 7, 9], MaxPool3d::new(3).stride([2, 1, 2]).padding([1, 0, 1]).dilation([1, 2, 1]));
        check(&[3, 4, 6, 5], MaxPool3d::new(2).stride([1, 2, 2]).ceil_mode(true));
        check(&[0, 2, 4, 4, 4], MaxPool3d::new(2));
    }

    /// Options of `D` dimensions from random numbers, and how large each dimension of an image is.
    fn random<const D: usize>(numbers: &[usize]) -> (MaxPool<D>, Vec<usize>) {
        let of = |i: usize, n: usize| std::array::from_fn::<usize, D, _>(|d| numbers[i * 3 + d] % n);
        let (kernel, dilation) = (of(0, 4).map(|n| n + 1), of(1, 3).map(|n| n + 1));
        let stride = of(2, 5).map(|n| n + 1);
        let reach: [usize; D] = std::array::from_fn(|d| (kernel[d] - 1) * dilation[d] + 1);
        // Dilated windows may miss a small image altogether; that has a test of its own.
        let padding = std::array::from_fn(|d| if dilation[d] == 1 { numbers[9 + d] % (kernel[d] / 2 + 1) } else { 0 });
        let ceil_mode = numbers[12] % 2 == 1;
        let size = (0..D).map(|d| reach[d] - padding[d] + numbers[13 + d] % (if D == 3 { 4 } else { 10 }));
        (MaxPool { kernel, stride: Some(stride), padding, dilation, ceil_mode }, size.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 18, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn equals_its_definition_for_random_attributes(
            planes in [1..=3usize, 1..=4],
            numbers in prop::collection::vec(0..1000usize, 16),
        ) {
            let (options, size) = random::<1>(&numbers);
            check_single(&[&planes[..], &size].concat(), options);
            let (options, size) = random::<2>(&numbers);
            check_single(&[&planes[..], &size].concat(), options);
            let (options, size) = random::<3>(&numbers);
            check_single(&[&planes[..1], &size].concat(), options);
        }
    }

    fn adaptive(x: &Numbers, size: &[usize]) -> Numbers {
        windows::tests::over_shares(x, size, |window| window.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    #[test]
    fn adaptive_windows_share_the_image_out() {
        let check = |x: &[usize], size: &[usize], op: fn(&Tensor, &[usize]) -> Tensor| {
            Check::new(|[x]: [Tensor; 1]| op(&x, size), |[x]| adaptive(&x, size)).shapes([x]).run();
        };
        for (n, o) in [(1, 1), (7, 3), (3, 7), (12, 4), (10, 10), (37, 5)] {
            check(&[2, 3, n], &[o], |x, size| x.adaptive_max_pool1d([size[0]]));
        }
        for (x, size) in [([2, 2, 9, 13], [4, 6]), ([1, 3, 5, 3], [7, 2]), ([1, 2, 8, 8], [1, 1])] {
            check(&x, &size, |x, size| x.adaptive_max_pool2d([size[0], size[1]]));
        }
        check(&[2, 5, 7, 6], &[3, 2, 5], |x, size| x.adaptive_max_pool3d([size[0], size[1], size[2]]));
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
            let options = MaxPool2d { kernel: [1, 2], stride: Some([1, 1]), padding: [0, 2], dilation: [1, 3], ceil_mode: false };
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
            "max_pool2d: window [300, 300] makes a thread loop 90301 times, this driver stops it after 65000"
        );
    }
}
