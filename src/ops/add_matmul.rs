//! add_matmul: β·c + α·a·b in one kernel, and the products that have names of their own.

use crate::{data::DType, error::Misfit, graph::Tensor};

impl Tensor {
    /// β·`self` + α·a·b: `torch.addmm`, and `torch.baddbmm` where there are dimensions before the last two.
    ///
    /// One dispatch: the sum is the last thing the product's kernel does. So is the update of
    /// `graph.assign(&c, &c.add_matmul(&a, &b, 1.0, 1.0))`, which adds a product to a variable in place. With β = 0
    /// nothing of `self` counts, not even NaN. The product is not rounded to half floats before the sum.
    ///
    /// `self` broadcasts to the shape of the [product](Tensor::matmul).
    ///
    /// # Gradient
    /// β·dy for `self`, α·dy·bᵀ and α·aᵀ·dy for the factors; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: factors that do not fit, or a `self` that is larger than their product.
    #[track_caller]
    pub fn add_matmul(&self, a: &Tensor, b: &Tensor, beta: f32, alpha: f32) -> Tensor {
        let product = a.matmul(b);
        if self.is_failed() || product.is_failed() {
            return self.graph().failed();
        }
        let (c, y) = (self.desc(), product.desc());
        if c.dtype != y.dtype || c.shape.broadcast(&y.shape).ok().as_ref() != Some(&y.shape) {
            self.graph().fail(Misfit::shape(format!("{c} does not fit the product {y}")).of("add_matmul"));
            return self.graph().failed();
        }
        let number = |value: f32| self.graph().constant(value, c.dtype);
        let product = if alpha == 1.0 { product } else { product.mul(&number(alpha)) };
        match beta {
            0.0 => product,
            1.0 => product.add(self),
            _ => product.add(&self.mul(&number(beta))),
        }
    }

    /// The products of two stacks of matrices, `[B, n, m]`·`[B, m, p]`: `torch.bmm`, [`matmul`](Tensor::matmul) without
    /// broadcasting.
    ///
    /// # Gradient
    /// dy·bᵀ and aᵀ·dy; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: tensors of other ranks than 3, or of other numbers of matrices.
    #[track_caller]
    pub fn bmm(&self, other: &Tensor) -> Tensor {
        let (a, b) = (self.shape(), other.shape());
        if !self.is_failed() && !other.is_failed() && (a.rank() != 3 || b.rank() != 3 || a[0] != b[0]) {
            self.graph().fail(Misfit::shape(format!("shapes {a} and {b} are not [B, n, m] and [B, m, p]")).of("bmm"));
            return self.graph().failed();
        }
        self.matmul(other)
    }

    /// aᵢ·bⱼ of vectors: `torch.outer`.
    ///
    /// # Gradient
    /// dy·b and dyᵀ·a; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: tensors that are no vectors.
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        if !self.are_vectors("outer", other) {
            return self.graph().failed();
        }
        self.unsqueeze(1).matmul(&other.unsqueeze(0))
    }

    /// Σ a·b of vectors of one length, a scalar: `torch.dot`.
    ///
    /// # Gradient
    /// dy·b and dy·a; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: tensors that are no vectors, or of two lengths.
    #[track_caller]
    pub fn dot(&self, other: &Tensor) -> Tensor {
        if !self.are_vectors("dot", other) {
            return self.graph().failed();
        }
        self.matmul(other)
    }

    #[track_caller]
    fn are_vectors(&self, name: &str, other: &Tensor) -> bool {
        if self.is_failed() || other.is_failed() {
            return false;
        }
        let (a, b) = (self.desc(), other.desc());
        let fits = a.shape.rank() == 1 && b.shape.rank() == 1 && a.dtype != DType::U32;
        if !fits {
            self.graph().fail(Misfit::shape(format!("needs two vectors of numbers, not {a} and {b}")).of(name));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        kernel::{DeviceClass, Target},
        prelude::*,
        testing::{Check, Numbers, context, run},
    };

    /// The products of matrices in the last two dimensions; those before them are equal.
    fn product(a: &Numbers, b: &Numbers) -> Numbers {
        let ([batch @ .., m, k], [.., n]) = (&a.shape()[..], &b.shape()[..]) else { panic!("no matrices") };
        let shape: Vec<usize> = batch.iter().copied().chain([*m, *n]).collect();
        Numbers::from_fn(shape, |index| {
            let (outer, [i, j]) = (&index[..batch.len()], [index[batch.len()], index[batch.len() + 1]]);
            let at = |x: &Numbers, i: usize, j: usize| x.at(&[outer, &[i, j]].concat());
            (0..*k).map(|l| at(a, i, l) * at(b, l, j)).sum()
        })
    }

    #[test]
    fn sums_match_their_definition() {
        for (beta, alpha, shapes) in [
            (1.0, 1.0, [&[3, 5][..], &[3, 7], &[7, 5]]),
            (0.5, -2.0, [&[5], &[3, 7], &[7, 5]]),
            (0.0, 3.0, [&[], &[1, 33], &[33, 1]]),
            (2.0, 0.0, [&[2, 1, 65], &[2, 70, 9], &[2, 9, 65]]),
        ] {
            let check = Check::new(
                |[c, a, b]: [Tensor; 3]| c.add_matmul(&a, &b, beta, alpha),
                |[c, a, b]: [Numbers; 3]| {
                    let (beta, alpha) = (f64::from(beta), f64::from(alpha));
                    product(&a, &b).zip(&c, |product, c| beta * c + alpha * product)
                },
            );
            // Drivers take seconds to compile each kernel: halves where the sum broadcasts.
            let check = check.shapes(shapes);
            if shapes[0].len() == 1 { check.run() } else { check.no_half().run() }
        }
    }

    #[test]
    fn the_sum_is_part_of_the_product() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for (c, a, b) in [([60, 70], [60, 40], [40, 70]), ([1, 70], [1, 640], [640, 70]), ([64, 1], [64, 32], [32, 1])] {
                let graph = Graph::new(Mode::Infer);
                let c = graph.state("c", TensorDesc::new(c, DType::F32), Init::ones());
                let (a, b) = (graph.input("a", a), graph.input("b", b));
                let y = c.add_matmul(&a, &b, 0.5, 2.0);
                let target = Target::baseline().with_class(class);
                let report = graph.plan(&[("y", &y)], &target).unwrap().report();
                assert_eq!(report.steps.len(), 1, "{report}");
                graph.assign(&c, &y);
                let report = graph.plan(&[], &target).unwrap().report();
                assert_eq!(report.steps.len(), 1, "{report}");
            }
        }
    }

    #[test]
    fn a_variable_accumulates_products() {
        let graph = Graph::new(Mode::Infer);
        let c = graph.state("c", TensorDesc::new([2, 2], DType::F32), Init::ones());
        let (a, b) = (graph.input("a", [2, 1]), graph.input("b", [1, 2]));
        graph.assign(&c, &c.add_matmul(&a, &b, 1.0, 1.0));
        let plan = graph.plan(&[], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("a", &Array::from_f32([2, 1], &[1.0, 2.0]).unwrap()).unwrap();
        session.write("b", &Array::from_f32([1, 2], &[3.0, 5.0]).unwrap()).unwrap();
        (0..3).for_each(|_| session.run().unwrap());
        assert_eq!(weights.read("c").unwrap().to_f32(), [10.0, 16.0, 19.0, 31.0]);
    }

    #[test]
    fn with_beta_0_nan_does_not_count() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.constant(f32::NAN, DType::F32).add_matmul(&graph.input("a", [1, 2]), &graph.input("b", [2, 1]), 0.0, 1.0);
        let inputs = [("a", [1, 2]), ("b", [2, 1])].map(|(name, shape)| (name, Array::from_f32(shape, &[3.0, 4.0]).unwrap()));
        assert_eq!(run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32(), [25.0]);
    }

    #[test]
    fn named_products_match_their_definitions() {
        Check::new(|[a, b]| a.bmm(&b), |[a, b]| product(&a, &b)).shapes([[4, 3, 5], [4, 5, 2]]).run();
        Check::new(|[a, b]| a.outer(&b), |[a, b]| product(&a.reshape([5, 1]), &b.reshape([1, 7]))).shapes([[5], [7]]).run();
        Check::new(|[a, b]| a.dot(&b), |[a, b]| Numbers::new([], vec![a.zip(&b, |a, b| a * b).sum()]))
            .shapes([[0], [0]])
            .shapes([[1], [1]])
            .shapes([[777], [777]])
            .shapes([[5003], [5003]])
            .run();
    }

    #[test]
    fn mistakes_name_shapes() {
        let said = |op: &dyn Fn(&Graph) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(op(&graph).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let input = |graph: &Graph, shape: &[usize]| graph.input(&format!("{shape:?}"), shape);
        assert_eq!(
            said(&|g| input(g, &[4, 3]).add_matmul(&input(g, &[2, 5]), &input(g, &[5, 3]), 1.0, 1.0)),
            "add_matmul: f32[4, 3] does not fit the product f32[2, 3]"
        );
        assert_eq!(
            said(&|g| input(g, &[4, 3]).bmm(&input(g, &[3, 3]))),
            "bmm: shapes [4, 3] and [3, 3] are not [B, n, m] and [B, m, p]"
        );
        assert_eq!(
            said(&|g| input(g, &[4, 3]).outer(&input(g, &[3]))),
            "outer: needs two vectors of numbers, not f32[4, 3] and f32[3]"
        );
        assert_eq!(
            said(&|g| input(g, &[4]).dot(&input(g, &[3]))),
            "matmul: shapes [4] and [3] do not fit: 4 columns meet 3 rows"
        );
    }
}
