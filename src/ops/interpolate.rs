//! interpolate: y[j] = (1 − λ)·x[⌊s⌋] + λ·x[⌊s⌋ + 1] with s = scale·(j + ½) − ½ along each dimension, or the nearest x.

use super::rows::neighbours;
use super::windows::{finishes, float_of, images, kernel, planes, writing};
use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// How [`Tensor::interpolate`] finds a number between the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// x[⌊scale·j⌋], PyTorch's `"nearest"`.
    Nearest,
    /// x[⌊scale·(j + ½)⌋], the element whose centre is nearest, PyTorch's `"nearest-exact"`.
    NearestExact,
    /// The weighted mean of the two neighbours along each dimension: PyTorch's `"linear"`, `"bilinear"` and
    /// `"trilinear"`.
    Linear {
        /// Whether the first and last elements of x and y coincide; otherwise the edges of their squares do.
        align_corners: bool,
    },
}

impl Interpolation {
    /// The number of the mode in the shader.
    fn number(self) -> u32 {
        match self {
            Interpolation::Nearest => 0,
            Interpolation::NearestExact => 1,
            Interpolation::Linear { align_corners: false } => 2,
            Interpolation::Linear { align_corners: true } => 3,
        }
    }

    /// The elements of x for one of y, in the precision of PyTorch's kernels.
    fn scale(self, n: usize, size: usize, factor: Option<f64>) -> f32 {
        match self {
            Interpolation::Linear { align_corners: true } if size > 1 => (n - 1) as f32 / (size - 1) as f32,
            Interpolation::Linear { align_corners: true } => 0.0,
            Interpolation::Linear { align_corners: false } if n == size => 1.0,
            _ => factor.map_or(n as f32 / size as f32, |factor| (1.0 / factor) as f32),
        }
    }
}

#[derive(Clone, Debug)]
struct Interpolate {
    size: Vec<usize>,
    factors: Option<Vec<f64>>,
    mode: Interpolation,
}

/// Numbers up to here are exact in `f32`.
const LARGEST: usize = 1 << 24;

impl Interpolate {
    fn dims(&self) -> usize {
        self.size.len()
    }

    fn kernel(&self, entry: &'static str, io: &Io) -> Kernel {
        kernel(shader!("interpolate"), entry, io, self.dims()).constant("MODE", self.mode.number())
    }

    fn scales(&self, x: &Shape) -> [f32; 3] {
        let mut scales = [1.0; 3];
        for axis in 0..self.dims() {
            let n = x[x.rank() - self.dims() + axis];
            let factor = self.factors.as_ref().map(|factors| factors[axis]);
            scales[3 - self.dims() + axis] = self.mode.scale(n, self.size[axis], factor);
        }
        scales
    }

    fn params(&self, x: &Shape, y: &Shape) -> Params {
        let params = Params::new().all(planes(x, self.dims())).all(planes(y, self.dims()));
        self.scales(x).into_iter().fold(params, Params::f32)
    }
}

impl Op for Interpolate {
    fn name(&self) -> &'static str {
        "interpolate"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, dtype) = (&inputs[0].shape, float_of(inputs)?);
        images(x, self.dims())?;
        if self.size.contains(&0) {
            return Err(Misfit::shape(format!("from {x} to size {:?}, which has no elements", self.size)));
        }
        let outer = &x[..x.rank() - self.dims()];
        if self.size.iter().chain(&x[outer.len()..]).any(|&n| n > LARGEST) {
            return Err(Misfit::limit(format!("from {x} to size {:?}: more than {LARGEST}", self.size)));
        }
        let y: Shape = outer.iter().chain(&self.size).copied().collect();
        Ok(vec![TensorDesc::new(y, dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.dims()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (x, y) = (io.x_shape(0), io.y_shape(0));
        let dispatch = Dispatch::new(self.kernel("interpolate", io)).read(io.x(0)).write(io.y(0));
        let dispatch = dispatch.params(self.params(x, y));
        let flops = if self.mode.number() < 2 { 0 } else { 3 << self.dims() };
        let dispatch = dispatch.cost((flops * y.numel()) as u64, io.bytes()).finishing();
        out.push(writing(dispatch, planes(y, self.dims()), neighbours(target)));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = InterpolateGrad { forward: self.clone(), x: at.x(0).shape() };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[&at.dy(0)]))])
    }
}

/// dx[i] = Σ dy[j] times the part of x[i] in y[j].
#[derive(Debug)]
struct InterpolateGrad {
    forward: Interpolate,
    x: Shape,
}

impl Op for InterpolateGrad {
    fn name(&self) -> &'static str {
        "interpolate_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.x, float_of(inputs)?)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - self.forward.dims()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (dims, scales) = (self.forward.dims(), self.forward.scales(io.y_shape(0)));
        let [_, sizes @ ..] = planes(io.x_shape(0), dims);
        // The elements of y that one of x (of a row: four neighbours) is looked for in.
        let takers = |axis: usize| {
            let wide = if axis == 2 { 6.0 } else { 3.0 };
            sizes[axis].min(((wide / scales[axis]).ceil() as usize).saturating_add(6))
        };
        let takers = [0, 1, 2].map(takers);
        finishes(target, &format!("an element in up to {:?} others", &takers[3 - dims..]), takers)?;
        let dispatch = Dispatch::new(self.forward.kernel("interpolate_grad", io)).read(io.x(0)).write(io.y(0));
        let dispatch = dispatch.params(self.forward.params(io.y_shape(0), io.x_shape(0)));
        let flops = if self.forward.mode.number() < 2 { 1 } else { 2 << dims };
        let dispatch = dispatch.cost((flops * io.x_shape(0).numel()) as u64, io.bytes()).finishing();
        out.push(writing(dispatch, planes(io.y_shape(0), dims), 1));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0).graph().apply1(self.forward.clone(), &[&at.dy(0)]))])
    }
}

impl Tensor {
    /// The tensor with its last one to three dimensions resampled to `size`, `torch.nn.functional.interpolate`.
    ///
    /// `[N, C, …]` or `[C, …]` gives `[N, C, size…]` or `[C, size…]`. Element j of y lies at s = scale·(j + ½) − ½ of
    /// x, or at scale·j with `align_corners`, scale = n/size or (n−1)/(size−1).
    ///
    /// ```
    /// use wgrad::{ops::Interpolation, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let y = graph.input("x", [2, 3, 8, 9]).interpolate(&[16, 18], Interpolation::Linear { align_corners: false });
    /// assert_eq!(y.shape(), [2, 3, 16, 18].into());
    /// ```
    ///
    /// # Gradient
    /// An element gets dy times its part of every element that takes from it, summed in a fixed order.
    ///
    /// # Errors
    /// Recorded in the graph: another rank, an image or size without elements.
    #[track_caller]
    pub fn interpolate(&self, size: &[usize], mode: Interpolation) -> Tensor {
        self.resampled(mode, size.len(), |_| Ok((size.to_vec(), None)))
    }

    /// [`interpolate`](Tensor::interpolate) to ⌊n·factor⌋ elements along each dimension, with scale = 1/factor:
    /// `torch.nn.functional.interpolate` with `scale_factor`.
    ///
    /// # Gradient
    /// As [`interpolate`](Tensor::interpolate).
    ///
    /// # Errors
    /// As [`interpolate`](Tensor::interpolate), and a factor that is not a positive number.
    #[track_caller]
    pub fn interpolate_by(&self, factors: &[f64], mode: Interpolation) -> Tensor {
        self.resampled(mode, factors.len(), |n| {
            if let Some(factor) = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
                return Err(Misfit::shape(format!("factor {factor} is not a positive number")));
            }
            let size = n.iter().zip(factors).map(|(&n, factor)| (n as f64 * factor).floor() as usize);
            Ok((size.collect(), Some(factors.to_vec())))
        })
    }

    /// `size` gives sizes and factors for the elements along the last `dims` dimensions.
    #[track_caller]
    fn resampled(
        &self,
        mode: Interpolation,
        dims: usize,
        size: impl FnOnce(&[usize]) -> Result<(Vec<usize>, Option<Vec<f64>>), Misfit>,
    ) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let op = match shape.rank().checked_sub(dims) {
            Some(outer) if (1..=3).contains(&dims) => size(&shape[outer..]),
            _ => Err(Misfit::shape(format!("needs a size for each of the last 1 to 3 dimensions, not {dims} of {shape}"))),
        };
        match op {
            Ok((size, factors)) => self.graph().apply1(Interpolate { size, factors, mode }, &[self]),
            Err(misfit) => {
                self.graph().fail(misfit.of("interpolate"));
                self.graph().failed()
            }
        }
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

    const MODES: [Interpolation; 4] = [
        Interpolation::Nearest,
        Interpolation::NearestExact,
        Interpolation::Linear { align_corners: false },
        Interpolation::Linear { align_corners: true },
    ];

    /// The elements of x that element j of y consists of along a dimension, and their parts.
    fn parts(j: usize, n: usize, size: usize, factor: Option<f64>, mode: Interpolation) -> [(usize, f64); 2] {
        // Places are computed in f32, as in PyTorch.
        let (scale, j) = (mode.scale(n, size, factor), j as f32);
        let place = match mode {
            Interpolation::Nearest => return [(((j * scale) as usize).min(n - 1), 1.0), (0, 0.0)],
            Interpolation::NearestExact => return [((((j + 0.5) * scale) as usize).min(n - 1), 1.0), (0, 0.0)],
            Interpolation::Linear { align_corners: false } => (scale * (j + 0.5) - 0.5).max(0.0),
            Interpolation::Linear { align_corners: true } => scale * j,
        };
        let place = f64::from(place);
        let first = (place as usize).min(n - 1);
        let part = (place - first as f64).clamp(0.0, 1.0);
        [(first, 1.0 - part), ((first + 1).min(n - 1), part)]
    }

    fn definition(x: &Numbers, size: &[usize], factors: Option<&[f64]>, mode: Interpolation) -> Numbers {
        let outer = x.shape().rank() - size.len();
        Numbers::from_fn([&x.shape()[..outer], size].concat(), |y| {
            let along = |d: usize| parts(y[outer + d], x.shape()[outer + d], size[d], factors.map(|f| f[d]), mode);
            let parts: Vec<[(usize, f64); 2]> = (0..size.len()).map(along).collect();
            let corner = |corner: usize| {
                let chosen: Vec<(usize, f64)> = parts.iter().enumerate().map(|(d, parts)| parts[corner >> d & 1]).collect();
                let place: Vec<usize> = y[..outer].iter().copied().chain(chosen.iter().map(|part| part.0)).collect();
                x.at(&place) * chosen.iter().map(|part| part.1).product::<f64>()
            };
            (0..1 << size.len()).map(corner).sum()
        })
    }

    fn check(shape: &[usize], size: &[usize], mode: Interpolation) {
        Check::new(|[x]: [Tensor; 1]| x.interpolate(size, mode), |[x]| definition(&x, size, None, mode))
            .shapes([shape])
            .run();
    }

    fn check_by(shape: &[usize], factors: &[f64], mode: Interpolation) {
        let inner = &shape[shape.len() - factors.len()..];
        let size: Vec<usize> = inner.iter().zip(factors).map(|(&n, factor)| (n as f64 * factor) as usize).collect();
        let definition = |[x]: [Numbers; 1]| definition(&x, &size, Some(factors), mode);
        Check::new(|[x]: [Tensor; 1]| x.interpolate_by(factors, mode), definition).shapes([shape]).run();
    }

    #[test]
    fn every_mode_in_every_number_of_dimensions() {
        for mode in MODES {
            check(&[2, 3, 5], &[13], mode);
            check(&[2, 300], &[37], mode);
            check(&[1, 1, 1], &[4], mode);
            check(&[1, 2, 4], &[1], mode);
            check(&[2, 2, 5, 7], &[10, 14], mode);
            check(&[2, 9, 11], &[4, 3], mode);
            check(&[1, 2, 6, 5], &[6, 5], mode);
            check(&[1, 2, 3, 4, 5], &[5, 3, 11], mode);
            check(&[0, 2, 4], &[3], mode);
        }
    }

    #[test]
    fn factors_keep_their_scale() {
        for mode in MODES {
            check_by(&[2, 3, 5], &[2.3], mode);
            check_by(&[2, 3, 5], &[1.1], mode);
            check_by(&[2, 3, 7, 9], &[2.0, 0.7], mode);
            check_by(&[1, 4, 3, 5], &[1.5, 2.0, 0.5], mode);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn random_sizes(
            shape in [1..=2usize, 1..=3, 1..=9, 1..=14],
            size in [1..=17usize, 1..=25],
            factors in [0.2..3.5f64, 0.2..3.5],
            mode in 0..4usize,
        ) {
            check(&shape, &size, MODES[mode]);
            let factors = [0, 1].map(|d| factors[d].max(1.0 / shape[2 + d] as f64 + 1e-3));
            check_by(&shape, &factors, MODES[mode]);
        }
    }

    #[test]
    fn gradients_have_gradients() {
        for mode in MODES {
            // ∂(Σ y²/2)/∂x = Σ y·∂y/∂x, whose definition takes y apart into the parts of each x.
            let op = |[x]: [Tensor; 1]| {
                let y = x.interpolate(&[7, 3], mode);
                gradients(&(y.mul(&y).sum_all() * 0.5), &[x]).remove(0).unwrap()
            };
            let definition = |[x]: [Numbers; 1]| {
                let y = definition(&x, &[7, 3], None, mode);
                let part = |at: usize| {
                    let mut unit = vec![0.0; x.data().len()];
                    unit[at] = 1.0;
                    definition(&Numbers::new(x.shape().clone(), unit), &[7, 3], None, mode).zip(&y, |a, y| a * y).sum()
                };
                Numbers::new(x.shape().clone(), (0..x.data().len()).map(part).collect())
            };
            Check::new(op, definition).shapes([[1, 2, 4, 5]]).no_half().run();
        }
    }

    #[test]
    fn mistakes_are_named() {
        let error = |shape: &[usize], op: &dyn Fn(&Tensor) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(op(&graph.input("x", shape)).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let nearest = Interpolation::Nearest;
        assert_eq!(
            error(&[1, 1, 2, 2], &|x| x.interpolate(&[4], nearest)),
            "interpolate: needs x [N, C, L] or [C, L], not [1, 1, 2, 2]"
        );
        assert_eq!(
            error(&[1, 2, 2], &|x| x.interpolate(&[4, 0], nearest)),
            "interpolate: from [1, 2, 2] to size [4, 0], which has no elements"
        );
        assert_eq!(
            error(&[1, 2, 2], &|x| x.interpolate(&[], nearest)),
            "interpolate: needs a size for each of the last 1 to 3 dimensions, not 0 of [1, 2, 2]"
        );
        assert_eq!(
            error(&[1, 2, 2], &|x| x.interpolate_by(&[2.0, -1.0], nearest)),
            "interpolate: factor -1 is not a positive number"
        );
    }
}
