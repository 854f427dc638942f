//! layer_norm: y = γ·(x − mean)/√(variance + ε) + β over the last dimensions (Ba, Kiros, Hinton 2016).

use super::rows::{Rows, neighbours};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Target},
    shader,
};

/// Returns y, and for each row the mean (of x − x₀, see the shader) and 1/√(variance + ε).
#[derive(Debug)]
struct LayerNorm {
    eps: f32,
}

/// The shape without the dimensions that are normalised, and the rows of these.
fn split(x: &Shape, weight: &Shape) -> (Shape, Rows) {
    let outer: Shape = x[..x.rank() - weight.rank()].into();
    let rows = Rows::contiguous(outer.numel(), weight.numel());
    (outer, rows)
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn outputs(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, weight, bias) = (&inputs[0], &inputs[1], &inputs[2]);
        if !x.shape.ends_with(&weight.shape) || weight.shape.numel() == 0 {
            let reason = format!("weight {} is not the end of shape {}", weight.shape, x.shape);
            return Err(Misfit::shape(reason));
        }
        if bias.shape != weight.shape {
            return Err(Misfit::shape(format!("weight {} and bias {} differ", weight.shape, bias.shape)));
        }
        if !x.dtype.is_float() || weight.dtype != x.dtype || bias.dtype != x.dtype {
            return Err(Misfit::dtype(format!("mixes {x}, weight {weight} and bias {bias}")));
        }
        let statistics = TensorDesc::new(split(&x.shape, &weight.shape).0, DType::F32);
        Ok(vec![x.clone(), statistics.clone(), statistics])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = split(io.x_shape(0), io.x_shape(1)).1;
        let dispatch = rows.dispatch(shader!("layer_norm"), ["rows", "shared_rows"], io.real(), target)?;
        let dispatch = dispatch.read(io.x(0)).read(io.x(1)).read(io.x(2)).write(io.y(0)).write(io.y(1)).write(io.y(2));
        let params = rows.params().f32(self.eps).u32(0);
        out.push(dispatch.params(params).cost(8 * io.x_shape(0).numel() as u64, io.bytes()).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, weight, mean, rstd, dy) = (at.x(0), at.x(1), at.y(1), at.y(2), at.dy(0));
        let graph = x.graph();
        let dx = at.needs(0).then(|| graph.apply1(LayerNormGrad, &[x, weight, mean, rstd, &dy]));
        let (mut dweight, mut dbias) = (None, None);
        if at.needs(1) || at.needs(2) {
            let op = LayerNormWeightGrad { width: weight.shape().numel() };
            let parts = graph.apply(op, &[x, mean, rstd, &dy]);
            let total = |parts: &Tensor| parts.sum(&[0], false).reshape(weight.shape()).cast(weight.dtype());
            dweight = at.needs(1).then(|| total(&parts[0]));
            dbias = at.needs(2).then(|| total(&parts[1]));
        }
        Gradients::of([dx, dweight, dbias])
    }
}

/// dx from x, weight, mean, rstd and dy.
#[derive(Debug)]
struct LayerNormGrad;

impl Op for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer_norm_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = split(io.x_shape(0), io.x_shape(1)).1;
        let entries = ["backward_rows", "backward_shared_rows"];
        let dispatch = rows.dispatch(shader!("layer_norm"), entries, io.real(), target)?;
        let dispatch = (0..5).fold(dispatch, |dispatch, i| dispatch.read(io.x(i))).write(io.y(0));
        let params = rows.params().f32(0.0).u32(0);
        out.push(dispatch.params(params).cost(12 * io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }
}

/// Partial sums of dγ and dβ, `[parts, n]` each, from x, mean, rstd and dy.
#[derive(Debug)]
struct LayerNormWeightGrad {
    width: usize,
}

impl LayerNormWeightGrad {
    fn rows(&self, x: &Shape) -> Rows {
        Rows::contiguous(x.numel() / self.width, self.width)
    }

    /// Rows of one part: enough parts to occupy a device, few enough to be cheap to add.
    fn chunk(&self, x: &Shape) -> usize {
        self.rows(x).count().div_ceil(256).max(32)
    }
}

impl Op for LayerNormWeightGrad {
    fn name(&self) -> &'static str {
        "layer_norm_weight_grad"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0].shape;
        let parts = TensorDesc::new([self.rows(x).count().div_ceil(self.chunk(x)), self.width], DType::F32);
        Ok(vec![parts.clone(), parts])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = self.rows(io.x_shape(0));
        let vectors = neighbours(target);
        let threads = io.y_shape(0)[0] * self.width.div_ceil(4 * vectors);
        let kernel = rows.kernel(shader!("layer_norm"), "backward_columns", io.real());
        let dispatch = Dispatch::new(kernel.constant("VECTORS", vectors as u32));
        let dispatch = (0..4).fold(dispatch, |dispatch, i| dispatch.read(io.x(i))).write(io.y(0)).write(io.y(1));
        let params = rows.params().f32(0.0).u32(self.chunk(io.x_shape(0)));
        let flops = 5 * io.x_shape(0).numel() as u64;
        out.push(dispatch.params(params).groups(threads.div_ceil(64) as u64).cost(flops, io.bytes()));
        Ok(())
    }
}

impl Tensor {
    /// γ·(x − mean)/√(variance + ε) + β over the last dimensions, those of `weight` (γ) and `bias` (β):
    /// `torch.nn.functional.layer_norm`, with the biased variance (Ba, Kiros, Hinton 2016).
    ///
    /// `x [.., D..]`, `weight [D..]`, `bias [D..]`, all of one element type. Rows far from zero lose no
    /// accuracy: everything is computed from differences within the row.
    #[track_caller]
    pub fn layer_norm(&self, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
        self.graph().apply(LayerNorm { eps }, &[self, weight, bias]).swap_remove(0)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    const EPS: f64 = 1e-5;

    /// The definition over the last dimensions of `weight`.
    fn layer_norm(x: &Numbers, weight: &Numbers, bias: &Numbers) -> Numbers {
        let n = weight.data().len();
        let rows = x.data().chunks(n).flat_map(|row| {
            let mean = row.iter().sum::<f64>() / n as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            let scaled = row.iter().zip(weight.data().iter().zip(bias.data()));
            scaled.map(|(x, (w, b))| w * (x - mean) / (variance + EPS).sqrt() + b).collect::<Vec<f64>>()
        });
        Numbers::new(x.shape(), rows.collect())
    }

    fn op([x, weight, bias]: [Tensor; 3]) -> Tensor {
        x.layer_norm(&weight, &bias, EPS as f32)
    }

    #[test]
    fn it_matches_its_definition() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[3, 8][..], &[8], &[8]])
            .shapes([&[2, 3, 5][..], &[5], &[5]])
            .shapes([&[2, 3, 5][..], &[3, 5], &[3, 5]])
            .shapes([&[7][..], &[7], &[7]])
            .shapes([&[3, 768][..], &[768], &[768]])
            .shapes([&[300, 33][..], &[33], &[33]])
            .run();
    }

    #[test]
    fn more_rows_than_one_workgroup_and_one_part() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[9000, 4][..], &[4], &[4]])
            .shapes([&[4099, 3][..], &[3], &[3]])
            .tolerance(4e-5)
            .run();
    }

    #[test]
    fn rows_far_from_zero_lose_nothing() {
        // In f32 these rows have 2000, 200 and 20 different numbers.
        for spread in [1.0, 0.1, 0.01] {
            Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
                .shapes([&[3, 40][..], &[40], &[40]])
                .shapes([&[5, 7][..], &[7], &[7]])
                .range(1e4 - spread, 1e4 + spread)
                .no_half()
                .run();
        }
    }

    #[test]
    fn tiny_and_absent_variances() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[3, 8][..], &[8], &[8]])
            .shapes([&[4, 1][..], &[1], &[1]])
            .range(1e-4, 2e-4)
            .no_half()
            .run();
        let graph = Graph::new(Mode::Infer);
        let [x, w, b] = ["x", "w", "b"].map(|name| graph.input(name, [4]));
        let y = x.layer_norm(&w, &b, 1e-5);
        let array = |numbers: [f32; 4]| Array::from_f32([4], &numbers).unwrap();
        let inputs = [("x", array([7e3; 4])), ("w", array([2.0; 4])), ("b", array([1.0, 2.0, 3.0, 4.0]))];
        assert_eq!(run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn nan_and_infinity_spoil_their_row_only() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3, 2]);
        let (w, b) = (graph.input("w", [2]), graph.input("b", [2]));
        let y = x.layer_norm(&w, &b, 1e-5);
        let array = |shape: &[usize], numbers: &[f32]| Array::from_f32(shape, numbers).unwrap();
        let numbers = [1.0, f32::NAN, 3.0, 5.0, f32::INFINITY, 1.0];
        let inputs = [("x", array(&[3, 2], &numbers)), ("w", array(&[2], &[1.0; 2])), ("b", array(&[2], &[0.0; 2]))];
        let y = run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32();
        assert!(y[..2].iter().chain(&y[4..]).all(|y| y.is_nan()), "{y:?}");
        assert!((y[2] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4, "{y:?}");
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |weight: &[usize], bias: &[usize], dtype: DType| {
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [2, 3]);
            x.layer_norm(&graph.input_of("w", weight, dtype), &graph.input("b", bias), 1e-5);
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&[2], &[3], DType::F32), "layer_norm: weight [2] is not the end of shape [2, 3]");
        assert_eq!(message(&[3], &[2], DType::F32), "layer_norm: weight [3] and bias [2] differ");
        assert_eq!(message(&[3], &[3], DType::F16), "layer_norm: mixes f32[2, 3], weight f16[3] and bias f32[3]");
    }
}
