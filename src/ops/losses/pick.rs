//! pick, spread: y[o, i] = x[o, t[o, i], i] and its transpose, which losses against class indices are made of.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Pointwise, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// The element of each row of dimension 1 that an index names; `x [C]` is the row of all.
#[derive(Clone, Debug)]
struct Pick {
    ignored: Option<u32>,
}

/// Why a target is none of class indices for these scores.
pub(super) fn check(x: &TensorDesc, target: &TensorDesc) -> Result<(), Misfit> {
    if !x.dtype.is_float() {
        return Err(Misfit::dtype(format!("classes must have floating point numbers, not {x}")));
    }
    if target.dtype != DType::U32 {
        return Err(Misfit::dtype(format!("targets must be class indices, u32, not {target}")));
    }
    if x.shape.rank() == 1 {
        return Ok(());
    }
    if x.shape.rank() == 0 {
        return Err(Misfit::shape(format!("needs [N, C, ...], not {}", x.shape)));
    }
    let expected: Shape = x.shape[..1].iter().chain(&x.shape[2..]).copied().collect();
    if target.shape == expected {
        Ok(())
    } else {
        Err(Misfit::shape(format!("target {} does not fit {}, it must be {expected}", target.shape, x.shape)))
    }
}

impl Op for Pick {
    fn name(&self) -> &'static str {
        "pick"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        check(&inputs[0], &inputs[1])?;
        Ok(vec![TensorDesc::new(&inputs[1].shape, inputs[0].dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (inputs[0].shape.rank() > 1).then(|| vec![1; 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (shape, rows) = (io.x_shape(0), io.y_shape(0).numel());
        let (classes, inner) =
            if shape.rank() == 1 { (shape[0], 0) } else { (shape[1], shape[2..].iter().product::<usize>()) };
        let sizes = Params::new().u32(rows).u32(classes).u32(inner);
        let sizes = sizes.u32(self.ignored.is_some().into()).bits(self.ignored.unwrap_or(0));
        let dispatch = Dispatch::new(Kernel::new(shader!("pick"), "pick", io.real()));
        let dispatch = dispatch.read(io.x(0)).read(io.x(1)).write(io.y(0)).params(sizes);
        let bytes = 2 * io.y_desc(0).bytes() + io.x_desc(1).bytes();
        out.push(dispatch.groups(rows.div_ceil(64) as u64).cost(0, bytes).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        // What all rows share are weights of classes, behind `detach`.
        let shape = at.x(0).shape();
        let dx = shape.get(1).map(|&classes| at.x(1).spread(&at.dy(0), classes, self.ignored));
        Gradients::of([dx, None])
    }
}

/// A number for each row at the class an index names, 0 at the other classes.
#[derive(Clone, Debug)]
struct Spread {
    classes: usize,
    inner: usize,
    ignored: Option<u32>,
}

impl Op for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let rows = &inputs[0].shape;
        let shape: Shape = rows[..1].iter().copied().chain([self.classes]).chain(rows[2..].iter().copied()).collect();
        Ok(vec![TensorDesc::new(shape, inputs[1].dtype)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("spread"), "spread");
        let function = function.scalar_u32(self.classes as u32).scalar_u32(self.inner as u32);
        Some(function.scalar_u32(self.ignored.is_some().into()).scalar_u32(self.ignored.unwrap_or(0)).indexed())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let target = at.x(0).squeeze(1);
        let dv = at.dy(0).pick(&target, self.ignored).reshape(at.x(0).shape());
        Gradients::of([None, Some(dv.sum_to(&at.x(1).shape()))])
    }
}

impl Tensor {
    /// `x[n, t[n, …], …]` for class indices `target [N, d…]` of `self [N, C, d…]`, or `w[t]` of `self [C]`,
    /// through which no gradient flows; 0 where the target is the ignored class, NaN where it is none.
    #[track_caller]
    pub(in crate::ops) fn pick(&self, target: &Tensor, ignored: Option<u32>) -> Tensor {
        self.graph().apply1(Pick { ignored }, &[self, target])
    }

    /// `[N, classes, d…]` with a number of `rows [N, d…]` (or one for all) at the class that `self [N, d…]`
    /// names and 0 elsewhere.
    #[track_caller]
    pub(in crate::ops) fn spread(&self, rows: &Tensor, classes: usize, ignored: Option<u32>) -> Tensor {
        let inner = self.shape()[1..].iter().product::<usize>().max(1);
        let rows = if rows.rank() == 0 { rows.clone() } else { rows.unsqueeze(1) };
        self.graph().apply1(Spread { classes, inner, ignored }, &[&self.unsqueeze(1), &rows])
    }
}
