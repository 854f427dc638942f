//! pad: y[j] = x[source(j − before)]; what lies outside is a value, a mirror image, the edge or the other end.

use super::rows::neighbours;
use super::windows::{finishes, float_of, kernel, writing};
use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// What [`Tensor::pad`] puts outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number.
    Constant(f32),
    /// The mirror image, without repeating the edge.
    Reflect,
    /// The element at the edge.
    Replicate,
    /// What lies at the other end.
    Circular,
}

impl PadMode {
    /// The number of the mode in the shader.
    fn number(self) -> u32 {
        match self {
            PadMode::Constant(_) => 0,
            PadMode::Reflect => 1,
            PadMode::Replicate => 2,
            PadMode::Circular => 3,
        }
    }

    /// Refuses what the mode cannot put before and after `n` elements.
    fn check(self, n: usize, (before, after): (isize, isize)) -> Result<(), Misfit> {
        let most = before.max(after);
        let reason = match self {
            PadMode::Reflect if most >= 0 && most as usize >= n.max(1) => "reflect takes less than there is",
            PadMode::Replicate if most > 0 && n == 0 => "there is no edge to replicate",
            PadMode::Circular if most > 0 && most as usize > n => "circular takes at most what there is",
            _ => return Ok(()),
        };
        Err(Misfit::shape(format!("{reason}: {before} before and {after} after {n} elements")))
    }
}

/// How many elements there are with so many before and after.
fn padded(n: usize, (before, after): (isize, isize)) -> Option<usize> {
    n.checked_add_signed(before.checked_add(after)?).filter(|&m| i32::try_from(m).is_ok())
}

#[derive(Debug)]
struct Pad {
    mode: PadMode,
    /// One pair for each dimension.
    pads: Vec<(isize, isize)>,
}

/// The planes of `pad.wgsl`: dimensions that are not padded are one with their neighbours.
struct Merged {
    x: [usize; 4],
    y: [usize; 4],
    before: [isize; 3],
}

impl Pad {
    fn output(&self, x: &Shape) -> Result<Shape, Misfit> {
        let sizes = x.iter().zip(&self.pads).map(|(&n, &pad)| {
            let wrong = || Misfit::shape(format!("{} before and {} after do not fit {n} elements", pad.0, pad.1));
            padded(n, pad).ok_or_else(wrong)
        });
        Ok(sizes.collect::<Result<Vec<usize>, Misfit>>()?.into())
    }

    /// `None` for more than three runs of dimensions behind the planes.
    fn merged(&self, x: &Shape) -> Option<Merged> {
        let mut runs: Vec<(usize, (isize, isize))> = vec![(1, (0, 0))];
        for (&n, &pad) in x.iter().zip(&self.pads) {
            match runs.last_mut() {
                Some((run, (0, 0))) if pad == (0, 0) => *run *= n,
                _ => runs.push((n, pad)),
            }
        }
        let missing = 4usize.checked_sub(runs.len())?;
        runs.splice(1..1, vec![(1, (0, 0)); missing]);
        let mut merged = Merged { x: [0; 4], y: [0; 4], before: [0; 3] };
        for (i, &(n, pad)) in runs.iter().enumerate() {
            (merged.x[i], merged.y[i]) = (n, padded(n, pad)?);
            if i > 0 {
                merged.before[i - 1] = pad.0;
            }
        }
        Some(merged)
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = float_of(inputs)?;
        Ok(vec![TensorDesc::new(self.output(&inputs[0].shape)?, dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![self.pads.iter().take_while(|pads| **pads == (0, 0)).count()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let Some(Merged { x, y, before }) = self.merged(io.x_shape(0)) else {
            return Err(Misfit::limit(format!("pads more than three dimensions of {} at once", io.x_shape(0))));
        };
        let value = if let PadMode::Constant(value) = self.mode { value } else { 0.0 };
        let [depth, height, width] = before;
        let params = Params::new().all(x).all(y).i32(depth).i32(height).i32(width).f32(value);
        let kernel = kernel(shader!("pad"), "pad", io, 3).constant("MODE", self.mode.number());
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(params);
        let bytes = io.x_desc(0).bytes().min(io.y_desc(0).bytes()) + io.y_desc(0).bytes();
        out.push(writing(dispatch.cost(0, bytes).finishing(), y, neighbours(target)));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let dy = at.dy(0);
        if let PadMode::Constant(_) = self.mode {
            let pads = self.pads.iter().map(|(before, after)| (-before, -after)).collect();
            return Gradients::of([Some(dy.graph().apply1(Pad { mode: PadMode::Constant(0.0), pads }, &[&dy]))]);
        }
        // One dimension after the other, each of which makes the gradient smaller.
        let padded = self.pads.iter().enumerate().filter(|(_, pad)| **pad != (0, 0));
        let dx = padded.fold(dy, |dy, (axis, &(before, _))| {
            let op = PadGrad { mode: self.mode, axis, before, length: at.x(0).shape()[axis] };
            dy.graph().apply1(op, &[&dy])
        });
        Gradients::of([Some(dx)])
    }
}

/// dx[i] = Σ dy[j] over the copies j of i along one dimension.
#[derive(Debug)]
struct PadGrad {
    mode: PadMode,
    axis: usize,
    before: isize,
    length: usize,
}

impl Op for PadGrad {
    fn name(&self) -> &'static str {
        "pad_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = float_of(inputs)?;
        Ok(vec![TensorDesc::new(inputs[0].shape.with(self.axis, self.length), dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let [outer, padded, inner] = io.x_shape(0).split_at_axis(self.axis);
        finishes(target, &format!("the copies of an edge among {padded} elements"), [1, 1, padded - padded.min(self.length)])?;
        let kernel = Kernel::new(shader!("pad"), "pad_grad", io.real()).constant("MODE", self.mode.number());
        let params = Params::new().all([outer, self.length, padded, inner]).i32(self.before);
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(params);
        let dispatch = dispatch.groups(io.y_shape(0).numel().div_ceil(64) as u64);
        out.push(dispatch.cost(io.x_shape(0).numel() as u64, io.bytes()).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let shape = at.x(0).shape();
        let mut pads = vec![(0, 0); shape.rank()];
        pads[self.axis] = (self.before, shape[self.axis] as isize - self.length as isize - self.before);
        Gradients::of([Some(at.dy(0).graph().apply1(Pad { mode: self.mode, pads }, &[&at.dy(0)]))])
    }
}

impl Tensor {
    /// The tensor with elements added before and after the last dimensions, `torch.nn.functional.pad`.
    ///
    /// `pads` are pairs (before, after), the first one for the *last* dimension, as in PyTorch; any number of
    /// dimensions may have one. Negative numbers take elements away: `(-1, 0)` drops the first. A dimension of n
    /// elements gets n + before + after.
    ///
    /// ```
    /// use wgrad::{ops::PadMode, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let y = graph.input("x", [8, 3, 32, 64]).pad(&[(1, 2), (0, 3)], PadMode::Reflect);
    /// assert_eq!(y.shape(), [8, 3, 35, 67].into());
    /// ```
    ///
    /// # Gradient
    /// An element gets the sum of dy over its copies, in a fixed order.
    ///
    /// # Errors
    /// Recorded in the graph: more pairs than dimensions, more taken away than there is, a mirror image of n elements
    /// or more on a side, the other end by more than n elements, an edge of nothing.
    #[track_caller]
    pub fn pad(&self, pads: &[(isize, isize)], mode: PadMode) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        match self.pads_of_dimensions(pads, mode) {
            Ok(pads) => self.pad_dimensions(pads, mode),
            Err(misfit) => {
                self.graph().fail(misfit.of("pad"));
                self.graph().failed()
            }
        }
    }

    /// The pairs in the order of the dimensions, if they fit.
    fn pads_of_dimensions(&self, pads: &[(isize, isize)], mode: PadMode) -> Result<Vec<(isize, isize)>, Misfit> {
        let shape = self.shape();
        let Some(rest) = shape.rank().checked_sub(pads.len()) else {
            return Err(Misfit::shape(format!("{} pairs are more than the dimensions of {shape}", pads.len())));
        };
        let pads: Vec<(isize, isize)> = std::iter::repeat_n((0, 0), rest).chain(pads.iter().rev().copied()).collect();
        Pad { mode, pads: pads.clone() }.output(&shape)?;
        for (&n, &pad) in shape.iter().zip(&pads) {
            let n = if mode == PadMode::Circular { padded(n, (pad.0.min(0), pad.1.min(0))).unwrap_or(0) } else { n };
            mode.check(n, pad)?;
        }
        Ok(pads)
    }

    /// Pads all dimensions, at most three runs of them in one dispatch.
    #[track_caller]
    fn pad_dimensions(&self, mut pads: Vec<(isize, isize)>, mode: PadMode) -> Tensor {
        let mut x = self.clone();
        if mode == PadMode::Circular {
            // What is taken away is not at the other end either.
            for (axis, pad) in pads.iter_mut().enumerate() {
                let (before, after) = (pad.0.min(0).unsigned_abs(), pad.1.min(0).unsigned_abs());
                x = x.slice(axis as isize, before..x.shape()[axis] - after);
                *pad = (pad.0.max(0), pad.1.max(0));
            }
        }
        let mut op = Pad { mode, pads: vec![(0, 0); pads.len()] };
        for axis in (0..pads.len()).rev().filter(|&axis| pads[axis] != (0, 0)) {
            op.pads[axis] = pads[axis];
            if op.merged(&x.shape()).is_none() {
                op.pads[axis] = (0, 0);
                x = x.graph().apply1(op, &[&x]);
                op = Pad { mode, pads: vec![(0, 0); pads.len()] };
                op.pads[axis] = pads[axis];
            }
        }
        if op.pads.iter().all(|pad| *pad == (0, 0)) && x.dtype().is_float() { x } else { x.graph().apply1(op, &[&x]) }
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

    const MODES: [PadMode; 4] = [PadMode::Constant(0.75), PadMode::Reflect, PadMode::Replicate, PadMode::Circular];

    /// The element that `i` stands for, of those from `begin` up to `end`.
    fn source(i: isize, (begin, end): (isize, isize), mode: PadMode) -> Option<usize> {
        let i = match mode {
            _ if (begin..end).contains(&i) => i,
            PadMode::Constant(_) => return None,
            PadMode::Reflect if i < begin => 2 * begin - i,
            PadMode::Reflect => 2 * (end - 1) - i,
            PadMode::Replicate => i.clamp(begin, end - 1),
            PadMode::Circular => begin + (i - begin).rem_euclid(end - begin),
        };
        Some(i as usize)
    }

    fn definition(x: &Numbers, pads: &[(isize, isize)], mode: PadMode) -> Numbers {
        let pads: Vec<(isize, isize)> =
            vec![(0, 0); x.shape().rank() - pads.len()].into_iter().chain(pads.iter().rev().copied()).collect();
        let sizes: Vec<usize> = x.shape().iter().zip(&pads).map(|(&n, &pad)| padded(n, pad).unwrap()).collect();
        Numbers::from_fn(sizes, |y| {
            let place = (0..y.len()).map(|d| {
                let (n, (before, after)) = (x.shape()[d] as isize, pads[d]);
                // Only circular padding sees what is left of the elements.
                let whole = if mode == PadMode::Circular { (-before.min(0), n + after.min(0)) } else { (0, n) };
                source(y[d] as isize - before, whole, mode)
            });
            match (place.collect::<Option<Vec<usize>>>(), mode) {
                (Some(place), _) => x.at(&place),
                (None, PadMode::Constant(value)) => f64::from(value),
                _ => f64::NAN,
            }
        })
    }

    fn check(shape: &[usize], pads: &[(isize, isize)], mode: PadMode) {
        Check::new(|[x]: [Tensor; 1]| x.pad(pads, mode), |[x]| definition(&x, pads, mode)).shapes([shape]).run();
    }

    #[test]
    fn every_mode_before_and_after_every_dimension() {
        for mode in MODES {
            check(&[2, 3, 5, 7], &[(1, 2), (3, 0)], mode);
            check(&[9], &[(8, 4)], mode);
            check(&[2, 5, 4], &[(0, 0), (2, 4)], mode);
            check(&[2, 3, 4, 5, 6], &[(2, 1), (1, 3), (2, 2)], mode);
            check(&[4, 5, 6], &[(-1, 3), (2, -2)], mode);
            check(&[3, 130], &[(-2, -3)], mode);
            check(&[2, 3], &[], mode);
            check(&[0, 3], &[(1, 1)], mode);
        }
        check(&[3, 4], &[(-1, -3)], PadMode::Constant(1.0));
        check(&[3, 0], &[(2, 1)], PadMode::Constant(1.0));
        check(&[1, 1], &[(4, 9), (3, 2)], PadMode::Replicate);
        check(&[1, 4], &[(4, 4), (1, 1)], PadMode::Circular);
    }

    #[test]
    fn more_dimensions_than_one_dispatch_pads() {
        for mode in MODES {
            check(&[2, 3, 2, 3, 2], &[(1, 1), (2, 0), (0, 1), (1, 2), (1, 0)], mode);
            check(&[3, 2, 2, 2, 3, 2], &[(1, 0), (0, 0), (1, 1), (0, 0), (1, 0), (2, 1)], mode);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn random_shapes_and_pads(
            sizes in prop::collection::vec(1..=7usize, 1..=4),
            pads in prop::collection::vec((-6..=6isize, -6..=6isize), 4),
            mode in 0..4usize,
        ) {
            let fit = |n: usize, (before, after): (isize, isize)| {
                let (n, most) = (n as isize, if mode == 1 { n as isize - 1 } else { n as isize });
                let (before, after) = (before.clamp(-n, most), after.min(most));
                let after = after.max(-n - before.min(0));
                let left = n + before.min(0) + after.min(0);
                // Cropped to less than the padding on the other side takes from.
                if mode > 0 && left < before.max(after) + 1 { (0, 0) } else { (before, after) }
            };
            let pads: Vec<(isize, isize)> = sizes.iter().rev().zip(pads).map(|(&n, pad)| fit(n, pad)).collect();
            check(&sizes, &pads, MODES[mode]);
        }
    }

    #[test]
    fn gradients_have_gradients() {
        let pads = [(2, 1), (1, -1)];
        for mode in MODES {
            // ∂(Σ pad(x)²/2)/∂x = padᵀ(pad(x)): each element times the number of its copies.
            let definition = |[x]: [Numbers; 1]| {
                let numbers = Numbers::from_fn(x.shape().clone(), {
                    let mut next = 0.0;
                    move |_| {
                        next += 1.0;
                        next
                    }
                });
                let copies = definition(&numbers, &pads, mode);
                let count = |i: usize| copies.data().iter().filter(|&&at| at == (i + 1) as f64).count() as f64;
                Numbers::new(x.shape().clone(), x.data().iter().enumerate().map(|(i, x)| x * count(i)).collect())
            };
            let op = |[x]: [Tensor; 1]| {
                let y = x.pad(&pads, mode);
                gradients(&(y.mul(&y).sum_all() * 0.5), &[x]).remove(0).unwrap()
            };
            Check::new(op, definition).shapes([[2, 4, 5]]).no_half().run();
        }
    }

    #[test]
    fn mistakes_are_named() {
        let error = |shape: &[usize], pads: &[(isize, isize)], mode| {
            let graph = Graph::new(Mode::Infer);
            assert!(graph.input("x", shape).pad(pads, mode).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let zero = PadMode::Constant(0.0);
        assert_eq!(error(&[3], &[(0, 0), (1, 1)], zero), "pad: 2 pairs are more than the dimensions of [3]");
        assert_eq!(error(&[3], &[(-2, -2)], zero), "pad: -2 before and -2 after do not fit 3 elements");
        assert_eq!(
            error(&[3], &[(3, 0)], PadMode::Reflect),
            "pad: reflect takes less than there is: 3 before and 0 after 3 elements"
        );
        assert_eq!(
            error(&[3], &[(0, 4)], PadMode::Circular),
            "pad: circular takes at most what there is: 0 before and 4 after 3 elements"
        );
        assert_eq!(
            error(&[0], &[(0, 4)], PadMode::Replicate),
            "pad: there is no edge to replicate: 0 before and 4 after 0 elements"
        );
    }
}
