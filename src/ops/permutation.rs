//! permutation: the indices 0 … n − 1 in random order: they are sorted by 64 random bits each.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

/// A random word for each index, from the two words of the seed and the step.
#[derive(Debug)]
struct RandomKeys {
    n: usize,
    stream: u32,
    second: bool,
}

impl Op for RandomKeys {
    fn name(&self) -> &'static str {
        "permutation"
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new([self.n], DType::U32)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("permutation"), "permutation_key");
        Some(function.scalar_u32(self.stream).scalar_u32(self.second.into()).indexed())
    }
}

impl Graph {
    /// The indices 0 … n − 1 in random order, every order as likely, another one in every step: `u32` `[n]`,
    /// `torch.randperm`.
    ///
    /// It depends on the seed, the step and how many random operations the graph has before it, and is the same on
    /// every driver. The indices are sorted by 64 random bits each.
    ///
    /// # Gradient
    /// None: indices have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: a length above 4294967295.
    #[track_caller]
    pub fn permutation(&self, n: usize) -> Tensor {
        let ([low, high], step, stream) = (self.seed(), self.step(), self.next_stream());
        let words = |second| self.apply1(RandomKeys { n, stream, second }, &[&low, &high, &step]);
        // Sorted by the second word, then, stably, by the first.
        let order = words(true).argsort(0, false);
        let sorted = words(false).gather_distinct(0, &order).argsort(0, false);
        order.gather_distinct(0, &sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::philox;
    use crate::{kernel::DeviceClass, prelude::*, testing::context};

    const SEED: u64 = 0x1234_5678_9ABC_DEF0;

    /// The permutations of some steps.
    fn permutations(n: usize, steps: usize, class: DeviceClass) -> Vec<Vec<u32>> {
        let graph = Graph::new(Mode::Train);
        let y = graph.permutation(n);
        let plan = graph.plan(&[("y", &y)], &context().target().with_class(class)).unwrap();
        let weights = Weights::init(context(), &plan, SEED).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let run = |_| {
            session.run().unwrap();
            session.read_blocking("y").unwrap().to_u32()
        };
        (0..steps).map(run).collect()
    }

    fn expected(n: usize, step: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by_key(|&i| {
            let [a, b, ..] = philox([i, 1, step, 3], [SEED as u32, (SEED >> 32) as u32]);
            (a, b)
        });
        order
    }

    #[test]
    fn indices_are_sorted_by_the_generators_words_in_every_step() {
        for n in [0, 1, 2, 100, 5000] {
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let found = permutations(n, 2, class);
                assert_eq!(found, [expected(n, 0), expected(n, 1)], "{n} {class:?}");
            }
        }
    }

    #[test]
    fn every_order_comes_about_as_often() {
        let mut counts = [0; 6];
        for order in permutations(3, 240, DeviceClass::Portable) {
            counts[(order[0] * 2 + u32::from(order[1] > order[2])) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (20..=65).contains(&count)), "{counts:?}");
    }

    #[test]
    fn two_permutations_of_a_graph_differ() {
        let graph = Graph::new(Mode::Infer);
        let outputs = [graph.permutation(50), graph.permutation(50)];
        let found = crate::testing::run(&graph, &[("a", &outputs[0]), ("b", &outputs[1])], &[]).unwrap();
        assert_ne!(found[0], found[1]);
    }
}
