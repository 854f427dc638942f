//! roll: y[k] = x[(k − shift) mod n] along dimensions; flip: y[k] = x[n − 1 − k].

use super::rows::neighbours;
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

#[derive(Debug)]
struct Roll {
    axis: usize,
    turn: Turn,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The first element is the one with this index.
    By(usize),
    /// The first element is the last one.
    Flip,
}

impl Op for Roll {
    fn name(&self) -> &'static str {
        if matches!(self.turn, Turn::Flip) { "flip" } else { "roll" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let ([_, n, inner], count) = (io.x_shape(0).split_at_axis(self.axis), io.x_shape(0).numel());
        let (shift, flip) = match self.turn {
            Turn::By(shift) => (shift, false),
            Turn::Flip => (0, true),
        };
        let block = 4 * neighbours(target);
        let is_index = io.x_desc(0).dtype == DType::U32;
        let mut kernel = Kernel::new(shader!("roll"), if is_index { "index" } else { "main" }, io.real());
        kernel = kernel.constant("FLIP", flip.into()).constant("BLOCK", block as u32);
        let (aligned, whole) = (inner.is_multiple_of(4), count.is_multiple_of(4));
        if !is_index {
            let turned = flip && inner == 1 && n.is_multiple_of(4);
            let kinds = [("ALIGNED", aligned), ("TURNED", turned), ("WHOLE", whole)];
            kernel = kinds.into_iter().fold(kernel, |kernel, (kind, set)| kernel.constant(kind, set.into()));
        }
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0));
        let dispatch = dispatch.params(Params::new().all([count, n, inner, shift]));
        let dispatch = dispatch.groups(count.div_ceil(64 * block) as u64).cost(0, io.bytes());
        out.push(if is_index { dispatch } else { dispatch.finishing().storing_vectors(whole) });
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let turn = match self.turn {
            Turn::By(shift) => Turn::By(at.x(0).shape()[self.axis] - shift),
            Turn::Flip => Turn::Flip,
        };
        Gradients::of([Some(at.x(0).graph().apply1(Roll { axis: self.axis, turn }, &[&at.dy(0)]))])
    }
}

impl Tensor {
    /// The elements moved `shifts[j]` places along `dims[j]`, those that leave at one end coming back at the other:
    /// `torch.roll`.
    ///
    /// # Gradient
    /// Rolled back.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or not as many shifts as dimensions.
    #[track_caller]
    pub fn roll(&self, shifts: &[isize], dims: &[isize]) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        if shifts.len() != dims.len() {
            let reason = format!("{} shifts for {} dimensions", shifts.len(), dims.len());
            return self.mistake("roll", Misfit::shape(reason));
        }
        let mut y = self.clone();
        for (&shift, &dim) in shifts.iter().zip(dims) {
            match shape.axis(dim) {
                Err(misfit) => return self.mistake("roll", misfit),
                Ok(axis) => {
                    let n = shape[axis].max(1) as isize;
                    let first = shift.rem_euclid(n);
                    if first != 0 {
                        y = y.graph().apply1(Roll { axis, turn: Turn::By((n - first) as usize) }, &[&y]);
                    }
                }
            }
        }
        y
    }

    /// The elements in reverse order along each of `dims`: `torch.flip`.
    ///
    /// # Gradient
    /// Flipped back.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or one given twice.
    #[track_caller]
    pub fn flip(&self, dims: &[isize]) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let mut flipped = vec![false; shape.rank()];
        for &dim in dims {
            match shape.axis(dim) {
                Err(misfit) => return self.mistake("flip", misfit),
                Ok(axis) if flipped[axis] => {
                    let reason = format!("dimension {dim} of shape {shape} is given twice");
                    return self.mistake("flip", Misfit::shape(reason));
                }
                Ok(axis) => flipped[axis] = true,
            }
        }
        let mut y = self.clone();
        let mut first = 0;
        while first < shape.rank() {
            let end = first + flipped[first..].iter().take_while(|&&flipped| flipped).count();
            if end > first {
                // Neighbouring dimensions are one that is reversed.
                let joined = shape[first..end].iter().product();
                let view = shape[..first].iter().copied().chain([joined]).chain(shape[end..].iter().copied());
                let op = Roll { axis: first, turn: Turn::Flip };
                y = y.graph().apply1(op, &[&y.reshape(view.collect::<Vec<usize>>())]).reshape(&shape);
            }
            first = end + 1;
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::tests::Dice;
    use crate::{
        autodiff::gradients,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn check(shape: &[usize], shifts: &[isize], dims: &[isize]) {
        Check::new(
            |[x]: [Tensor; 1]| x.roll(shifts, dims),
            |[x]| {
                Numbers::from_fn(x.shape(), |at| {
                    let mut from = at.to_vec();
                    for (shift, &dim) in shifts.iter().zip(dims) {
                        let axis = x.shape().axis(dim).unwrap();
                        from[axis] = (from[axis] as isize - shift).rem_euclid(shape[axis] as isize) as usize;
                    }
                    x.at(&from)
                })
            },
        )
        .shapes([shape])
        .run();
    }

    fn check_flip(shape: &[usize], dims: &[isize]) {
        Check::new(
            |[x]: [Tensor; 1]| x.flip(dims).relu(),
            |[x]| {
                let axes: Vec<usize> = dims.iter().map(|&dim| x.shape().axis(dim).unwrap()).collect();
                let from = |at: &[usize]| -> Vec<usize> {
                    at.iter().enumerate().map(|(d, &i)| if axes.contains(&d) { shape[d] - 1 - i } else { i }).collect()
                };
                Numbers::from_fn(x.shape(), |at| x.at(&from(at)).max(0.0))
            },
        )
        .shapes([shape])
        .run();
    }

    #[test]
    fn elements_roll_around() {
        check(&[5, 4], &[2], &[0]);
        check(&[5, 4], &[-1, 3], &[1, 0]);
        check(&[5, 4], &[1, 1], &[0, 0]);
        check(&[3, 7, 8], &[100, -9], &[1, -1]);
        check(&[1], &[5], &[0]);
        check(&[4099], &[4098], &[0]);
        check(&[2, 0], &[3, 1], &[1, 0]);
        let mut dice = Dice(10);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let shift = dice.below(100) as isize - 50;
            check(&shape, &[shift], &[dice.dim(axis, shape.len())]);
        }
    }

    #[test]
    fn dimensions_are_reversed() {
        for dims in [&[0][..], &[1], &[-1], &[0, 1], &[2, 0], &[1, 2], &[0, 1, 2], &[]] {
            check_flip(&[3, 5, 4], dims);
            check_flip(&[2, 1, 7], dims);
        }
        check_flip(&[4100], &[0]);
        check_flip(&[9, 12, 16], &[1]);
        check_flip(&[0, 2], &[0]);
        let mut dice = Dice(11);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            check_flip(&shape, &[axis as isize]);
        }
    }

    #[test]
    fn index_tensors_and_second_gradients() {
        let graph = Graph::new(Mode::Infer);
        let (ids, x) = (graph.input_of("ids", [3], DType::U32), graph.input("x", [3]));
        let (rolled, flipped) = (ids.roll(&[1], &[0]), ids.flip(&[0]));
        let w = graph.input("w", [3]);
        let dx = gradients(&(x.roll(&[1], &[0]).square() * &w).sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let ddx = gradients(&(dx * &w).sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let inputs = [
            ("ids", Array::from_u32([3], &[1, 0x7f80_0001, u32::MAX]).unwrap()),
            ("w", Array::from_f32([3], &[1.0, 10.0, 100.0]).unwrap()),
        ];
        let found = run(&graph, &[("rolled", &rolled), ("flipped", &flipped), ("ddx", &ddx)], &inputs).unwrap();
        assert_eq!(found[0].to_u32(), [u32::MAX, 1, 0x7f80_0001]);
        assert_eq!(found[1].to_u32(), [u32::MAX, 0x7f80_0001, 1]);
        assert_eq!(found[2].to_f32(), [20.0, 2000.0, 200.0]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph.input("x", [2, 3])).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&|x| x.roll(&[1], &[2])), "roll: dimension 2 is outside shape [2, 3]");
        assert_eq!(message(&|x| x.roll(&[1, 2], &[0])), "roll: 2 shifts for 1 dimensions");
        assert_eq!(message(&|x| x.flip(&[0, -2])), "flip: dimension -2 of shape [2, 3] is given twice");
    }
}
