//! avg_pool: y[p, i] = Σ x[p, h] / divisor(i) over the h in window i, in one to three dimensions.

use super::windows::{Windows, finishes, float_of, images, planes, writing};
use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// The options of [`Tensor::avg_pool1d`], [`avg_pool2d`](Tensor::avg_pool2d) and [`avg_pool3d`](Tensor::avg_pool3d),
/// each for all `D` dimensions.
///
/// ```
/// use wgrad::ops::{AvgPool, AvgPool2d};
/// let options = AvgPool2d::new(3).stride([2, 2]).padding([1, 1]).count_include_pad(false);
/// assert_eq!(options, AvgPool {
///     kernel: [3, 3],
///     stride: Some([2, 2]),
///     padding: [1, 1],
///     ceil_mode: false,
///     count_include_pad: false,
///     divisor_override: None,
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool<const D: usize> {
    /// The elements of a window.
    pub kernel: [usize; D],
    /// The distance between windows; `None` is the kernel, so that they touch.
    pub stride: Option<[usize; D]>,
    /// Zeros added on each side, at most half a window.
    pub padding: [usize; D],
    /// Whether a last window may reach past the padding's end; what it reaches there does not count.
    pub ceil_mode: bool,
    /// Whether the zeros of the padding count as elements; true if not said.
    pub count_include_pad: bool,
    /// What every sum is divided by instead of the number of elements.
    pub divisor_override: Option<usize>,
}

/// The options of [`Tensor::avg_pool1d`].
pub type AvgPool1d = AvgPool<1>;
/// The options of [`Tensor::avg_pool2d`].
pub type AvgPool2d = AvgPool<2>;
/// The options of [`Tensor::avg_pool3d`].
pub type AvgPool3d = AvgPool<3>;

impl<const D: usize> AvgPool<D> {
    /// Windows of the same size along every dimension that touch.
    pub fn new(kernel: usize) -> AvgPool<D> {
        AvgPool {
            kernel: [kernel; D],
            stride: None,
            padding: [0; D],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }

    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; D]) -> AvgPool<D> {
        AvgPool { stride: Some(stride), ..self }
    }

    /// The same with zeros added on each side.
    pub fn padding(self, padding: [usize; D]) -> AvgPool<D> {
        AvgPool { padding, ..self }
    }

    /// The same where a last window may reach past the padding's end.
    pub fn ceil_mode(self, ceil_mode: bool) -> AvgPool<D> {
        AvgPool { ceil_mode, ..self }
    }

    /// The same where the zeros of the padding count or do not.
    pub fn count_include_pad(self, count_include_pad: bool) -> AvgPool<D> {
        AvgPool { count_include_pad, ..self }
    }

    /// The same with a number that every sum is divided by.
    pub fn divisor_override(self, divisor: usize) -> AvgPool<D> {
        AvgPool { divisor_override: Some(divisor), ..self }
    }

    fn averages(&self, name: &'static str) -> Averages {
        let stride = self.stride.unwrap_or(self.kernel);
        Averages {
            name,
            windows: Windows::sliding(self.kernel, stride, self.padding, [1; D], self.ceil_mode),
            count_padding: self.count_include_pad,
            divisor: self.divisor_override,
        }
    }
}

impl Tensor {
    /// The mean of each window of a row, `torch.nn.functional.avg_pool1d`.
    ///
    /// `[N, C, L]` or `[C, L]` gives `[N, C, L′]` or `[C, L′]`; otherwise as [`avg_pool2d`](Tensor::avg_pool2d).
    ///
    /// # Gradient
    /// dy/divisor of each window flows to all its elements; windows that overlap add.
    ///
    /// # Errors
    /// As [`avg_pool2d`](Tensor::avg_pool2d).
    #[track_caller]
    pub fn avg_pool1d(&self, options: AvgPool1d) -> Tensor {
        self.graph().apply1(options.averages("avg_pool1d"), &[self])
    }

    /// The mean of each window, `torch.nn.functional.avg_pool2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C, H′, W′]` or `[C, H′, W′]` with
    /// H′ = ⌊(H + 2·padding − kernel)/stride⌋ + 1, or ⌈…⌉ with `ceil_mode`, without a window that would begin behind
    /// the image. A sum is divided by the elements of its window, those of the padding among them or not, or by
    /// `divisor_override`.
    ///
    /// ```
    /// use wgrad::{ops::AvgPool2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let y = graph.input("x", [8, 64, 55, 55]).avg_pool2d(AvgPool2d::new(2).ceil_mode(true));
    /// assert_eq!(y.shape(), [8, 64, 28, 28].into());
    /// ```
    ///
    /// # Gradient
    /// dy/divisor of each window flows to all its elements; windows that overlap add, in a fixed order.
    ///
    /// # Errors
    /// Recorded in the graph: a window larger than the padded image, padding of more than half a window, a window,
    /// stride or divisor of 0, an image without elements.
    #[track_caller]
    pub fn avg_pool2d(&self, options: AvgPool2d) -> Tensor {
        self.graph().apply1(options.averages("avg_pool2d"), &[self])
    }

    /// The mean of each window of a volume, `torch.nn.functional.avg_pool3d`.
    ///
    /// `[N, C, D, H, W]` or `[C, D, H, W]` gives `[N, C, D′, H′, W′]` or `[C, D′, H′, W′]`; otherwise as
    /// [`avg_pool2d`](Tensor::avg_pool2d).
    ///
    /// # Gradient
    /// dy/divisor of each window flows to all its elements; windows that overlap add.
    ///
    /// # Errors
    /// As [`avg_pool2d`](Tensor::avg_pool2d).
    #[track_caller]
    pub fn avg_pool3d(&self, options: AvgPool3d) -> Tensor {
        self.graph().apply1(options.averages("avg_pool3d"), &[self])
    }

    /// The mean of each of `size` windows that share a row out, `torch.nn.functional.adaptive_avg_pool1d`: see
    /// [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d).
    ///
    /// # Gradient
    /// dy/elements of each window flows to all its elements; windows that overlap add.
    ///
    /// # Errors
    /// As [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d).
    #[track_caller]
    pub fn adaptive_avg_pool1d(&self, size: [usize; 1]) -> Tensor {
        self.adaptive_averages("adaptive_avg_pool1d", size)
    }

    /// The mean of each of `size` windows that share an image out, `torch.nn.functional.adaptive_avg_pool2d`:
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C, size…]` or `[C, size…]`. Window i of o over n elements goes from
    /// ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉; the size may be larger than the image. The size 1×1 is the mean over the image, the
    /// image's own size the image.
    ///
    /// # Gradient
    /// dy/elements of each window flows to all its elements; windows that overlap add, in a fixed order.
    ///
    /// # Errors
    /// Recorded in the graph: another rank, an image without elements.
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Tensor {
        self.adaptive_averages("adaptive_avg_pool2d", size)
    }

    /// The mean of each of `size` windows that share a volume out, `torch.nn.functional.adaptive_avg_pool3d`: see
    /// [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d).
    ///
    /// # Gradient
    /// dy/elements of each window flows to all its elements; windows that overlap add.
    ///
    /// # Errors
    /// As [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d).
    #[track_caller]
    pub fn adaptive_avg_pool3d(&self, size: [usize; 3]) -> Tensor {
        self.adaptive_averages("adaptive_avg_pool3d", size)
    }

    #[track_caller]
    fn adaptive_averages<const D: usize>(&self, name: &'static str, size: [usize; D]) -> Tensor {
        if !self.is_failed() && self.dtype().is_float() && images(&self.shape(), D).is_ok() {
            if self.shape().ends_with(&size) {
                return self.clone();
            }
            if size == [1; D] {
                let dims: Vec<isize> = (1..=D as isize).map(|d| -d).collect();
                return self.mean(&dims, true);
            }
        }
        let op = Averages { name, windows: Windows::adaptive(size), count_padding: false, divisor: None };
        self.graph().apply1(op, &[self])
    }
}

/// The mean of each window.
#[derive(Clone, Copy, Debug)]
struct Averages {
    name: &'static str,
    windows: Windows,
    count_padding: bool,
    divisor: Option<usize>,
}

impl Averages {
    fn kernel(&self, entry: &'static str, io: &Io) -> Kernel {
        let kernel = self.windows.kernel(shader!("avg_pool"), entry, io);
        let kernel = kernel.constant("COUNT_PADDING", self.count_padding.into());
        kernel.constant("GIVEN", self.divisor.is_some().into()).constant("TOGETHER", self.windows.touch().into())
    }

    fn params(&self, x: [usize; 4], y: [usize; 4]) -> Params {
        self.windows.params(x, y).f32(self.divisor.unwrap_or(1) as f32)
    }
}

impl Op for Averages {
    fn name(&self) -> &'static str {
        self.name
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = float_of(inputs)?;
        if self.divisor == Some(0) {
            return Err(Misfit::shape("the divisor must be at least 1"));
        }
        Ok(vec![TensorDesc::new(self.windows.output(&inputs[0].shape)?, dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.windows.dims])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let dims = self.windows.dims;
        let (x, y) = (planes(io.x_shape(0), dims), planes(io.y_shape(0), dims));
        let (window, four) = self.windows.longest([x[1], x[2], x[3]]);
        let columns = if self.windows.touch() { four } else { window[2] };
        finishes(target, &format!("window {:?}", &window[3 - dims..]), [window[0], window[1], columns])?;
        let elements = io.y_shape(0).numel() * window.iter().product::<usize>();
        let kernel = self.windows.reading_near(self.kernel("avg_pool", io), x, target);
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0));
        let dispatch = writing(dispatch.params(self.params(x, y)), y, 1);
        out.push(dispatch.cost(elements as u64, io.bytes()).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = AveragesGrad { averages: *self, x: at.x(0).shape() };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[&at.dy(0)]))])
    }
}

/// dx[p, h] = Σ dy[p, i] / divisor(i) over the windows that h lies in.
#[derive(Debug)]
struct AveragesGrad {
    averages: Averages,
    x: Shape,
}

impl Op for AveragesGrad {
    fn name(&self) -> &'static str {
        "avg_pool_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.x, float_of(inputs)?)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.averages.windows.dims])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let windows = &self.averages.windows;
        let (x, y) = (planes(io.y_shape(0), windows.dims), planes(io.x_shape(0), windows.dims));
        let covering = windows.covering([x[1], x[2], x[3]]);
        finishes(target, &format!("an element in up to {:?} windows", &covering[3 - windows.dims..]), covering)?;
        let elements = io.y_shape(0).numel() * covering.iter().product::<usize>();
        let dispatch = Dispatch::new(self.averages.kernel("avg_pool_grad", io)).read(io.x(0)).write(io.y(0));
        let dispatch = writing(dispatch.params(self.averages.params(x, y)), x, 1);
        out.push(dispatch.cost(elements as u64, io.bytes()).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0).graph().apply1(self.averages, &[&at.dy(0)]))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        autodiff::gradients,
        graph::{Graph, Mode},
        data::Array,
        kernel::DeviceClass,
        ops::{map::tests::assert_numbers, windows},
        plan::PlanOptions,
        testing::{Check, Numbers, context, run_on},
    };
    use proptest::prelude::*;

    /// The definition: a window of the padded image, cut off at the padding's end.
    fn definition<const D: usize>(x: &Numbers, options: AvgPool<D>) -> Numbers {
        let shape = options.averages("").windows.output(x.shape()).unwrap_or_else(|misfit| panic!("{}", misfit.reason));
        let (outer, stride) = (shape.rank() - D, options.stride.unwrap_or(options.kernel));
        Numbers::from_fn(shape, |y| {
            let (mut sum, mut inside, mut padded) = (0.0, 0, 0);
            Numbers::from_fn(options.kernel, |r| {
                let place = |d: usize| (y[outer + d] * stride[d] + r[d]) as isize - options.padding[d] as isize;
                let n = |d: usize| x.shape()[outer + d] as isize;
                if (0..D).all(|d| place(d) < n(d) + options.padding[d] as isize) {
                    padded += 1;
                }
                if (0..D).all(|d| (0..n(d)).contains(&place(d))) {
                    inside += 1;
                    let place = (0..D).map(|d| place(d) as usize);
                    sum += x.at(&y[..outer].iter().copied().chain(place).collect::<Vec<_>>());
                }
                0.0
            });
            let counted = if options.count_include_pad { padded } else { inside };
            sum / options.divisor_override.unwrap_or(counted) as f64
        })
    }

    fn pool<const D: usize>(x: &Tensor, options: AvgPool<D>) -> Tensor {
        x.graph().apply1(options.averages("avg_pool"), &[x])
    }

    fn check<const D: usize>(x: &[usize], options: AvgPool<D>) {
        Check::new(move |[x]| pool(&x, options), move |[x]| definition(&x, options)).shapes([x]).run();
    }

    #[test]
    fn equals_its_definition() {
        check(&[1, 1, 1, 1], AvgPool2d::new(1));
        check(&[2, 3, 8, 8], AvgPool2d::new(2));
        check(&[3, 8, 7], AvgPool2d::new(2).ceil_mode(true));
        check(&[2, 3, 7, 9], AvgPool2d::new(3).stride([1, 2]).padding([1, 1]));
        check(&[2, 3, 7, 9], AvgPool2d::new(3).stride([2, 2]).padding([1, 1]).ceil_mode(true).count_include_pad(false));
        check(&[1, 2, 13, 13], AvgPool2d::new(2).stride([3, 5]).divisor_override(3));
        check(&[1, 1, 4, 6], AvgPool2d { kernel: [4, 6], ..AvgPool2d::new(1) });
        check(&[5, 7, 31, 17], AvgPool2d::new(3).stride([2, 2]));
        check(&[2, 3, 19], AvgPool1d::new(3).stride([2]).padding([1]).ceil_mode(true));
        check(&[3, 301], AvgPool1d::new(5).stride([1]));
        check(&[2, 2, 5, 7, 9], AvgPool3d::new(3).stride([2, 1, 2]).padding([1, 0, 1]));
        check(&[3, 4, 6, 5], AvgPool3d::new(2).stride([1, 2, 2]).ceil_mode(true));
        check(&[0, 2, 4, 4], AvgPool2d::new(2));
    }

    /// Options of `D` dimensions from random numbers, and how large each dimension of an image is.
    fn random<const D: usize>(numbers: &[usize]) -> (AvgPool<D>, Vec<usize>) {
        let kernel: [usize; D] = std::array::from_fn(|d| numbers[d] % 4 + 1);
        let options = AvgPool {
            kernel,
            stride: Some(std::array::from_fn(|d| numbers[3 + d] % 5 + 1)),
            padding: std::array::from_fn(|d| numbers[6 + d] % (kernel[d] / 2 + 1)),
            ceil_mode: numbers[9] % 2 == 1,
            count_include_pad: numbers[10] % 2 == 1,
            divisor_override: [None, None, Some(7)][numbers[11] % 3],
        };
        let more = if D == 3 { 4 } else { 11 };
        let size = (0..D).map(|d| (kernel[d] - options.padding[d]).max(1) + numbers[12 + d] % more);
        (options, size.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 18, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn equals_its_definition_for_random_attributes(
            planes in [1..=3usize, 1..=4],
            numbers in prop::collection::vec(0..1000usize, 15),
        ) {
            let (options, size) = random::<1>(&numbers);
            check(&[&planes[..], &size].concat(), options);
            let (options, size) = random::<2>(&numbers);
            check(&[&planes[..], &size].concat(), options);
            let (options, size) = random::<3>(&numbers);
            check(&[&planes[..1], &size].concat(), options);
        }
    }

    fn mean(window: &[f64]) -> f64 {
        window.iter().sum::<f64>() / window.len() as f64
    }

    #[test]
    fn adaptive_windows_share_the_image_out() {
        let check = |x: &[usize], size: &[usize], op: fn(&Tensor, &[usize]) -> Tensor| {
            let definition = |[x]: [Numbers; 1]| windows::tests::over_shares(&x, size, mean);
            Check::new(|[x]: [Tensor; 1]| op(&x, size), definition).shapes([x]).run();
        };
        for (n, o) in [(1, 1), (7, 3), (3, 7), (12, 4), (10, 10), (37, 5), (5, 0), (40, 1)] {
            check(&[2, 3, n], &[o], |x, size| x.adaptive_avg_pool1d([size[0]]));
        }
        for (x, size) in [([2, 2, 9, 13], [4, 6]), ([1, 2, 6, 6], [6, 6]), ([1, 2, 6, 5], [6, 6]), ([1, 3, 5, 3], [7, 2]), ([1, 2, 8, 8], [1, 1]), ([2, 1, 6, 11], [1, 3])] {
            check(&x, &size, |x, size| x.adaptive_avg_pool2d([size[0], size[1]]));
        }
        check(&[2, 5, 7, 6], &[3, 2, 5], |x, size| x.adaptive_avg_pool3d([size[0], size[1], size[2]]));
        check(&[2, 5, 3, 6], &[1, 1, 1], |x, size| x.adaptive_avg_pool3d([size[0], size[1], size[2]]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn adaptive_windows_of_random_sizes(x in [1..=2usize, 1..=2, 1..=17, 1..=17], size in [1..=19usize, 1..=19]) {
            let definition = |[x]: [Numbers; 1]| windows::tests::over_shares(&x, &size, mean);
            Check::new(|[x]: [Tensor; 1]| x.adaptive_avg_pool2d(size), definition).shapes([x]).run();
        }
    }

    #[test]
    fn gradients_have_gradients() {
        let options = AvgPool2d::new(3).stride([2, 2]).padding([1, 1]).count_include_pad(false);
        // ∂(Σ pool(x)²/2)/∂x = poolᵀ(pool(x)), whose definition takes pool apart into its columns.
        Check::new(
            move |[x]: [Tensor; 1]| {
                let y = x.avg_pool2d(options);
                gradients(&(y.mul(&y).sum_all() * 0.5), &[x]).remove(0).unwrap()
            },
            move |[x]| {
                let y = definition(&x, options);
                let column = |at: usize| {
                    let mut unit = vec![0.0; x.data().len()];
                    unit[at] = 1.0;
                    definition(&Numbers::new(x.shape().clone(), unit), options).zip(&y, |a, y| a * y).sum()
                };
                Numbers::new(x.shape().clone(), (0..x.data().len()).map(column).collect())
            },
        )
        .shapes([[1, 2, 5, 6]])
        .no_half()
        .run();
    }

    #[test]
    fn nan_and_infinities_stay_in_their_windows() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [1, 12]);
            let y = x.avg_pool1d(AvgPool1d::new(2));
            let dx = gradients(&(&y * &graph.input("dy", [1, 6])).sum_all(), &[x]).remove(0).unwrap();
            let (nan, inf) = (f32::NAN, f32::INFINITY);
            let inputs = [
                ("dy", Array::from_f32([1, 6], &[1.0, inf, 2.0, nan, -inf, 4.0]).unwrap()),
                ("x", Array::from_f32([1, 12], &[1.0, 2.0, inf, 1.0, nan, 0.0, 3.0, 3.0, inf, -inf, 5.0, -7.0]).unwrap()),
            ];
            let target = context().target().with_class(class);
            let found = run_on(&graph, &[("dx", &dx), ("y", &y)], &inputs, &target, PlanOptions::default()).unwrap();
            assert_numbers(&found[1].to_f32(), &[1.5, inf, nan, 3.0, nan, -1.0]);
            let dx = [0.5, 0.5, inf, inf, 1.0, 1.0, nan, nan, -inf, -inf, 2.0, 2.0];
            assert_numbers(&found[0].to_f32(), &dx);
        }
    }

    #[test]
    fn what_follows_is_fused() {
        let options = AvgPool2d::new(3).stride([2, 1]).padding([1, 1]);
        let op = move |[x]: [Tensor; 1]| x.avg_pool2d(options).tanh();
        Check::new(op, move |[x]: [Numbers; 1]| definition(&x, options).map(f64::tanh)).shapes([[2, 3, 7, 10]]).run();
    }

    #[test]
    fn mistakes_are_named() {
        let error = |shape: &[usize], options: AvgPool2d| {
            let graph = Graph::new(Mode::Infer);
            assert!(graph.input("x", shape).avg_pool2d(options).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let pool = AvgPool2d::new;
        assert_eq!(error(&[1, 1, 1, 1], pool(3)), "avg_pool2d: window 3 does not fit 1 with padding 0");
        assert_eq!(
            error(&[1, 1, 4, 4], pool(3).padding([2, 0])),
            "avg_pool2d: padding 2 is more than half of window 3"
        );
        assert_eq!(error(&[4, 4], pool(2)), "avg_pool2d: needs x [N, C, H, W] or [C, H, W], not [4, 4]");
        assert_eq!(
            error(&[1, 0, 4, 0], pool(1)),
            "avg_pool2d: needs at least one element in each plane, not [1, 0, 4, 0]"
        );
        assert_eq!(error(&[1, 1, 4, 4], pool(2).divisor_override(0)), "avg_pool2d: the divisor must be at least 1");
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [2, 2]).adaptive_avg_pool2d([1, 1]).is_failed());
        let message = "adaptive_avg_pool2d: needs x [N, C, H, W] or [C, H, W], not [2, 2]";
        assert_eq!(graph.check().unwrap_err().message(), message);
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [1, 1, 300, 300]).adaptive_avg_pool2d([1, 2]);
        let target = context().target().with_class(DeviceClass::Software);
        assert_eq!(
            graph.plan(&[("y", &y)], &target).unwrap_err().message(),
            "adaptive_avg_pool2d: window [301, 151] makes a thread loop 362406 times, this driver stops it after 65000"
        );
    }
}
