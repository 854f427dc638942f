//! matmul: y[…, i, j] = Σ_k a[…, i, k]·b[…, k, j], and the linear map y = x·Wᵀ + b.

mod kernels;
mod product;

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Precision, Tensor},
    kernel::Target,
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use kernels::choices;
use product::Product;

/// The length from which on the product of two vectors is a sum of products: kernels for matrices have a thread for each
/// number of the result, and here there is one.
const LONG_VECTOR: usize = 4096;

/// Either factor may be stored with its last two dimensions exchanged.
#[derive(Debug)]
struct MatMul {
    transposed_a: bool,
    transposed_b: bool,
}

/// The sizes of a factor's last two dimensions.
fn rows_and_columns(shape: &Shape, transposed: bool) -> [usize; 2] {
    let [rows, columns] = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
    if transposed { [columns, rows] } else { [rows, columns] }
}

/// The dimensions before the last two.
fn outer(shape: &Shape) -> Shape {
    shape[..shape.rank() - 2].into()
}

/// Why matrices of these shapes have no product.
fn clash(a: &Shape, b: &Shape, columns: usize, rows: usize) -> Misfit {
    Misfit::shape(format!("shapes {a} and {b} do not fit: {columns} columns meet {rows} rows"))
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (a, b) = (&inputs[0], &inputs[1]);
        if a.dtype != b.dtype || !a.dtype.is_float() {
            return Err(Misfit::dtype(format!("multiplies floating point numbers of one type, not {a} and {b}")));
        }
        let [m, k] = rows_and_columns(&a.shape, self.transposed_a);
        let [rows, n] = rows_and_columns(&b.shape, self.transposed_b);
        let logical = |shape: &Shape, sizes: [usize; 2]| outer(shape).iter().copied().chain(sizes).collect::<Shape>();
        let (x, y) = (logical(&a.shape, [m, k]), logical(&b.shape, [rows, n]));
        if k != rows {
            return Err(clash(&x, &y, k, rows));
        }
        let batch = outer(&a.shape).broadcast(&outer(&b.shape)).map_err(|_| {
            Misfit::shape(format!("shapes {x} and {y} do not fit: their first dimensions do not broadcast"))
        })?;
        Ok(vec![TensorDesc::new(batch.iter().copied().chain([m, n]).collect::<Shape>(), a.dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        Product::new(io, self.transposed_a, self.transposed_b).emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (a, b, dy) = (at.x(0), at.x(1), at.dy(0));
        let da = || {
            let da = if self.transposed_a {
                multiply(b, self.transposed_b, &dy, true)
            } else {
                multiply(&dy, false, b, !self.transposed_b)
            };
            da.sum_to(&a.shape())
        };
        let db = || {
            // One matrix b for all of the batch: its gradient is one product over all rows.
            let (a, dy) = if b.rank() == 2 && !self.transposed_a {
                (as_matrix(a), as_matrix(&dy))
            } else {
                (a.clone(), dy.clone())
            };
            let db = if self.transposed_b {
                multiply(&dy, true, &a, self.transposed_a)
            } else {
                multiply(&a, !self.transposed_a, &dy, false)
            };
            db.sum_to(&b.shape())
        };
        Gradients::of([at.needs(0).then(da), at.needs(1).then(db)])
    }
}

/// All dimensions but the last as one.
fn as_matrix(x: &Tensor) -> Tensor {
    let shape = x.shape();
    let [rows, columns, _] = shape.split_at_axis(shape.rank() - 1);
    x.reshape([rows, columns])
}

/// The product of two tensors of at least two dimensions.
#[track_caller]
pub(super) fn multiply(a: &Tensor, transposed_a: bool, b: &Tensor, transposed_b: bool) -> Tensor {
    let (x, y) = (a.shape(), b.shape());
    if !a.is_failed() && !b.is_failed() {
        let ([m, k], [rows, n]) = (rows_and_columns(&x, transposed_a), rows_and_columns(&y, transposed_b));
        // A column times a row sums nothing: it is pointwise work and fuses as such, as long as either
        // surely fits one binding.
        let is_small = x.numel().max(y.numel()) <= 1 << 20;
        if k == 1 && rows == 1 && is_small && a.dtype() == b.dtype() && outer(&x).broadcast(&outer(&y)).is_ok() {
            let column: Shape = outer(&x).iter().copied().chain([m, 1]).collect();
            let row: Shape = outer(&y).iter().copied().chain([1, n]).collect();
            return a.reshape(column).mul(&b.reshape(row));
        }
    }
    a.graph().apply1(MatMul { transposed_a, transposed_b }, &[a, b])
}

impl Tensor {
    /// The product of matrices: `torch.matmul`.
    ///
    /// `[…, m, k]`·`[…, k, n]` is `[…, m, n]`; the dimensions before the last two broadcast. A vector
    /// on the left is a row, one on the right a column, and that dimension is missing in the result.
    /// A factor that is the [`transpose`](Tensor::transpose) of another tensor in its last two
    /// dimensions is read where it is; nothing is moved.
    ///
    /// Sums are `f32` whatever the element type is. The order of summation depends on the shapes and
    /// the [`Target`] only. GPUs that list cooperative matrices of the element type use those.
    ///
    /// # Gradient
    /// dy·bᵀ and aᵀ·dy, summed over repeated batches.
    ///
    /// # Errors
    /// Recorded in the graph: scalars, inner sizes that differ, batches that do not broadcast, mixed
    /// element types, index tensors.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        if self.is_failed() || other.is_failed() {
            return self.graph().failed();
        }
        let (a, b) = (self.shape(), other.shape());
        if a.rank() == 0 || b.rank() == 0 {
            let misfit = Misfit::shape(format!("shapes {a} and {b} do not fit: a single number is no matrix"));
            self.graph().fail(misfit.of("matmul"));
            return self.graph().failed();
        }
        let (columns, rows) = (a[a.rank() - 1], b[b.rank().saturating_sub(2)]);
        if (a.rank() == 1 || b.rank() == 1) && columns != rows {
            self.graph().fail(clash(&a, &b, columns, rows).of("matmul"));
            return self.graph().failed();
        }
        if a.rank() == 1 && b.rank() == 1 && a[0] > LONG_VECTOR && self.dtype().is_float() && self.dtype() == other.dtype() {
            let product = self.cast(DType::F32).mul(&other.cast(DType::F32));
            return product.sum_all().cast(self.dtype());
        }
        let (x, transposed_x) = if a.rank() == 1 { (self.unsqueeze(0), false) } else { self.untransposed() };
        let (y, transposed_y) = if b.rank() == 1 { (other.unsqueeze(1), false) } else { other.untransposed() };
        let mut product = multiply(&x, transposed_x, &y, transposed_y);
        if a.rank() == 1 {
            product = product.squeeze(-2);
        }
        if b.rank() == 1 {
            product = product.squeeze(-1);
        }
        product
    }

    /// x·Wᵀ + b over the last dimension: `torch.nn.functional.linear`.
    ///
    /// `[…, in]` with `weight` `[out, in]` and `bias` `[out]` is `[…, out]`.
    ///
    /// # Gradient
    /// dy·W, dyᵀ·x and Σ dy.
    ///
    /// # Errors
    /// Recorded in the graph: a weight or bias that does not fit the last dimension, mixed element types.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        if self.is_failed() || weight.is_failed() {
            return self.graph().failed();
        }
        let (x, w) = (self.shape(), weight.shape());
        if x.rank() == 0 || w.rank() != 2 || x[x.rank() - 1] != w[1] {
            let misfit = Misfit::shape(format!("shape {x} does not fit a weight of shape {w}, which is [out, in]"));
            self.graph().fail(misfit.of("linear"));
            return self.graph().failed();
        }
        let rows = if x.rank() == 1 { self.unsqueeze(0) } else { self.clone() };
        let mut y = multiply(&rows, false, weight, true);
        if let Some(bias) = bias {
            y = y.add(bias);
        }
        if x.rank() == 1 { y.squeeze(0) } else { y }
    }

    /// This tensor, or the one of which it is the transpose in the last two dimensions, and whether it is.
    fn untransposed(&self) -> (Tensor, bool) {
        match self.transposed_from() {
            Some(source) => (source, true),
            None => (self.clone(), false),
        }
    }
}

#[cfg(test)]
mod tests;
