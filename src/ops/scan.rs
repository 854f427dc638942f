//! scan: y[o, k, i] = Σ x[o, j, i] over the j ≤ k, or Π: running sums and products.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Precision, Tensor, ValueId, fit},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

#[derive(Clone, Copy, Debug)]
struct Scan {
    axis: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sum,
    /// From the last element to the first.
    SumBack,
    Product,
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        if self.kind == Kind::Product { "cumprod" } else { "cumsum" }
    }

    fn precision(&self) -> Precision {
        Precision::Single
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs[0].dtype {
            DType::U32 => Err(Misfit::dtype(format!("needs floating point numbers, not {}", inputs[0]))),
            _ => Ok(vec![inputs[0].clone()]),
        }
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let [outer, n, inner] = io.x_shape(0).split_at_axis(self.axis);
        let (product, reverse) = (self.kind == Kind::Product, self.kind == Kind::SumBack);
        let rows = Rows { outer, n, inner, real: io.real(), product, reverse };
        rows.scan(io.x(0), io.y(0), true, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, y, dy) = (at.x(0), at.y(0), at.dy(0));
        let sum = |x: &Tensor, kind| x.graph().apply1(Scan { axis: self.axis, kind }, &[x]);
        Gradients::of([Some(match self.kind {
            Kind::Sum => sum(&dy, Kind::SumBack),
            Kind::SumBack => sum(&dy, Kind::Sum),
            Kind::Product => {
                // dx[k] = Σ dy[i]·Π x[j] over the i ≥ k and the j ≤ i but k. Before the first zero the product is
                // y[i]/x[k]; for the first zero itself it is that of the row with 1 in its place; behind it, it is 0.
                let graph = x.graph();
                let [zero, one] = [0.0, 1.0].map(|value| graph.constant(value, x.dtype()));
                let is_zero = x.eq(&zero);
                let zeros = sum(&is_zero.cast(DType::F32), Kind::Sum);
                let before = zeros.eq(&graph.constant(0.0, DType::F32));
                let first = is_zero.logical_and(&zeros.eq(&graph.constant(1.0, DType::F32)));
                let without = first.where_(&one, x);
                let products = sum(&without, Kind::Product);
                let ahead = sum(&(&dy * y), Kind::SumBack) / is_zero.where_(&one, x);
                let at_zero = sum(&(&dy * &products), Kind::SumBack);
                before.where_(&ahead, &first.where_(&at_zero, &zero))
            }
        })])
    }
}

/// Rows `[outer, n, inner]` along their middle axis.
#[derive(Clone, Copy)]
struct Rows {
    outer: usize,
    n: usize,
    inner: usize,
    real: DType,
    product: bool,
    reverse: bool,
}

impl Rows {
    /// Adds the dispatches of a scan: at once where there are rows enough for all threads, else in parts whose totals
    /// are scanned in the same way.
    fn scan(self, x: ValueId, y: ValueId, finishes: bool, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let (length, is_shared) = self.length(target);
        let parts = self.n.div_ceil(length);
        let count = self.outer * parts * self.inner;
        let params = Params::new().all([self.n, self.inner, length, parts, count, usize::from(self.reverse)]);
        let kernel = |[alone, shared]: [&'static str; 2]| {
            let kernel = Kernel::new(shader!("scan"), if is_shared { shared } else { alone }, self.real);
            let kernel = kernel.constant("PRODUCT", self.product.into());
            if is_shared { kernel.constant("ITEMS", length.div_ceil(256) as u32) } else { kernel }
        };
        let groups = if is_shared { count } else { count.div_ceil(64) } as u64;
        let elements = (self.outer * self.n * self.inner) as u64;
        let bytes = elements * self.real.bytes() as u64;
        let mut totals = x;
        if parts > 1 {
            let desc = TensorDesc::new([count], DType::F32);
            fit([&desc], target)?;
            let found = out.scratch(desc.clone());
            let dispatch = Dispatch::new(kernel(["find_totals", "find_totals_shared"])).read(x).write(found).params(params.clone());
            out.push(dispatch.groups(groups).cost(elements, bytes + desc.bytes()));
            totals = out.scratch(desc);
            let rows = Rows { n: parts, real: DType::F32, reverse: false, ..self };
            rows.scan(found, totals, false, target, out)?;
        }
        // Without parts no total is read; x stands in their place.
        let scan = kernel(["scan", "scan_shared"]).constant("CONTINUED", (parts > 1).into());
        let dispatch = Dispatch::new(scan).read(x).read(totals).write(y).params(params);
        let dispatch = dispatch.groups(groups).cost(elements, 2 * bytes + 4 * count as u64);
        out.push(if finishes { dispatch.finishing() } else { dispatch });
        Ok(())
    }

    /// Elements of a part, and whether a workgroup shares one.
    fn length(&self, target: &Target) -> (usize, bool) {
        let software = target.class.is_software();
        if self.inner == 1 && self.n > 128 && !software {
            return (self.n.min(2048), true);
        }
        let (threads, shortest, longest) = if software { (512, 256, 16_384) } else { (65_536, 32, 1024) };
        let per_thread = (self.outer * self.n * self.inner).div_ceil(threads);
        let length = per_thread.clamp(shortest, longest);
        // Parts that would be few are not worth two more dispatches.
        (if self.n <= 2 * length { self.n.max(1) } else { length }, false)
    }
}

impl Tensor {
    /// y\[k\] = x\[0\] + … + x\[k\] along dimension `dim`: `torch.cumsum`.
    ///
    /// Sums are formed in `f32` and in a fixed order.
    ///
    /// # Gradient
    /// The running sum from the other end.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or an index tensor.
    #[track_caller]
    pub fn cumsum(&self, dim: isize) -> Tensor {
        self.scan("cumsum", dim, Kind::Sum)
    }

    /// y\[k\] = x\[0\] · … · x\[k\] along dimension `dim`: `torch.cumprod`.
    ///
    /// # Gradient
    /// dx\[k\] = Σ dy\[i\]·y\[i\]/x\[k\] over the i ≥ k; exact also where x has zeros.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or an index tensor.
    #[track_caller]
    pub fn cumprod(&self, dim: isize) -> Tensor {
        self.scan("cumprod", dim, Kind::Product)
    }

    #[track_caller]
    fn scan(&self, name: &str, dim: isize, kind: Kind) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        match self.shape().axis(dim) {
            Ok(axis) => self.graph().apply1(Scan { axis, kind }, &[self]),
            Err(misfit) => self.mistake(name, misfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{gather::tests::Dice, rows::map_rows};
    use crate::{
        autodiff::gradients,
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, context, run, run_on},
    };

    fn running(row: &[f64], start: f64, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        row.iter()
            .scan(start, |total, &x| {
                *total = f(*total, x);
                Some(*total)
            })
            .collect()
    }

    fn sums(row: &[f64]) -> Vec<f64> {
        running(row, 0.0, |a, b| a + b)
    }

    fn products(row: &[f64]) -> Vec<f64> {
        running(row, 1.0, |a, b| a * b)
    }

    #[test]
    fn sums_run_along_every_dimension() {
        for dim in [0, 1, -1] {
            Check::new(|[x]: [Tensor; 1]| x.cumsum(dim), |[x]| map_rows(&x, dim, sums))
                .shapes([[3, 5, 4]])
                .shapes([[1, 1, 1]])
                .shapes([[2, 1100, 3]])
                .shapes([[5, 2, 2051]])
                .shapes([[0, 2, 3]])
                .run();
        }
        let mut dice = Dice(9);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let dim = dice.dim(axis, shape.len());
            Check::new(|[x]: [Tensor; 1]| x.cumsum(dim).relu(), |[x]| map_rows(&x, dim, sums).map(|y| y.max(0.0)))
                .shapes([&shape[..]])
                .run();
        }
    }

    #[test]
    fn products_run_along_every_dimension() {
        for dim in [0, 1, -1] {
            Check::new(|[x]: [Tensor; 1]| x.cumprod(dim), |[x]| map_rows(&x, dim, products))
                .shapes([[3, 5, 4]])
                .shapes([[1, 1, 1]])
                .run();
            // Numbers around 1, whose products stay numbers.
            Check::new(|[x]: [Tensor; 1]| x.cumprod(dim), |[x]| map_rows(&x, dim, products))
                .shapes([[2, 130, 3]])
                .shapes([[3, 2, 2051]])
                .range(0.97, 1.03)
                .no_half()
                .tolerance(2e-4)
                .run();
        }
    }

    #[test]
    fn products_of_random_shapes() {
        let mut dice = Dice(16);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let dim = dice.dim(axis, shape.len());
            Check::new(|[x]: [Tensor; 1]| x.cumprod(dim), |[x]| map_rows(&x, dim, products))
                .shapes([&shape[..]])
                .range(-1.0, 1.2)
                .tolerance(1e-4)
                .run();
        }
    }

    #[test]
    fn more_groups_than_one_dimension_has() {
        let rows = 4_300_003;
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [rows, 2]).cumsum(1);
        let numbers: Vec<f32> = (0..2 * rows).map(|i| (i % 1001) as f32).collect();
        let array = Array::from_f32([rows, 2], &numbers).unwrap();
        let target = context().target().with_class(DeviceClass::Portable);
        let found = run_on(&graph, &[("y", &y)], &[("x", array)], &target, PlanOptions::default()).unwrap();
        for (found, given) in found[0].to_f32().chunks(2).zip(numbers.chunks(2)) {
            assert_eq!(*found, [given[0], given[0] + given[1]]);
        }
    }

    #[test]
    fn zeros_do_not_disturb_the_gradient_of_products() {
        let rows = [[2.0, 0.0, 3.0, 5.0], [0.0, 2.0, 0.0, 4.0], [3.0, 2.0, 4.0, 0.0], [0.0, 0.0, 1.0, 2.0]];
        let graph = Graph::new(Mode::Infer);
        let (x, w) = (graph.input("x", [4, 4]), graph.input("w", [4]));
        let loss = (x.cumprod(1) * &w).sum_all();
        let dx = gradients(&loss, std::slice::from_ref(&x)).remove(0).unwrap();
        let ddx = gradients(&(&dx * &w).sum_all(), &[x]).remove(0).unwrap();
        let weights = [1.0, 10.0, 100.0, 1000.0];
        let inputs = [
            ("x", Array::from_f32([4, 4], &rows.concat()).unwrap()),
            ("w", Array::from_f32([4], &weights).unwrap()),
        ];
        let found = run(&graph, &[("dx", &dx), ("ddx", &ddx)], &inputs).unwrap();
        // The product up to i without the factors at the places of `left_out`.
        let product = |row: &[f32; 4], i: usize, left_out: &[usize]| -> f32 {
            (0..=i).filter(|j| !left_out.contains(j)).map(|j| row[j]).product()
        };
        let mut expected = Vec::new();
        for row in &rows {
            expected.extend((0..4).map(|k| (k..4).map(|i| weights[i] * product(row, i, &[k])).sum::<f32>()));
        }
        assert_eq!(found[0].to_f32(), expected);
        assert!(found[1].to_f32().iter().all(|number| number.is_finite()));
    }

    #[test]
    fn the_second_gradient_of_products() {
        let numbers = [0.5, -1.5, 2.0, 1.25];
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [4]);
        let dx = gradients(&x.cumprod(0).sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let ddx = gradients(&dx.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let found = run(&graph, &[("ddx", &ddx)], &[("x", Array::from_f32([4], &numbers).unwrap())]).unwrap();
        for (a, found) in found[0].to_f32().into_iter().enumerate() {
            let pairs = (0..4).filter(|&b| b != a).flat_map(|b| (a.max(b)..4).map(move |i| (b, i)));
            let expected: f32 = pairs
                .map(|(b, i)| (0..=i).filter(|&j| j != a && j != b).map(|j| numbers[j]).product::<f32>())
                .sum();
            assert!((found - expected).abs() < 1e-4, "{a}: {found}, not {expected}");
        }
    }

    #[test]
    fn millions_are_summed_in_parts_to_a_few_millionths() {
        for (shape, dim) in [([1, 2_000_003], 1), ([300_001, 3], 0)] {
            let numel = shape[0] * shape[1];
            let graph = Graph::new(Mode::Infer);
            let y = graph.input("x", shape).cumsum(dim);
            let array = Array::from_f32(shape, &vec![0.1; numel]).unwrap();
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let target = context().target().with_class(class);
                let inputs = [("x", array.clone())];
                let found = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap();
                for (e, found) in found[0].to_f32().into_iter().enumerate() {
                    let k = if dim == 1 { e } else { e / 3 };
                    let expected = (k + 1) as f64 * f64::from(0.1_f32);
                    assert!((f64::from(found) / expected - 1.0).abs() < 5e-6, "{class:?} {shape:?} {e}: {found}");
                }
            }
        }
    }

    #[test]
    fn mistakes_name_shapes() {
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [2, 3]).cumsum(2).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "cumsum: dimension 2 is outside shape [2, 3]");
        let graph = Graph::new(Mode::Infer);
        graph.input_of("i", [2], DType::U32).cumprod(0);
        assert_eq!(graph.check().unwrap_err().message(), "cumprod: needs floating point numbers, not u32[2]");
    }
}
