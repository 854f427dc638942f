use crate::{kernel::DeviceClass, plan::PlanOptions, prelude::*, testing::{context, run_on}, autodiff::gradients};
#[test]
fn compile_times() {
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        for pass in 0..3 {
            let graph = Graph::new(Mode::Infer);
            let [q, k, v] = ["q", "k", "v"].map(|n| graph.input(n, [1, 1, 16, 8]));
            let y = q.attention(&k, &v, super::Attention::default());
            let g = if pass == 0 { y.clone() } else { let gs = gradients(&y.sum_all(), &[q.clone(), k.clone(), v.clone()]); gs[pass - 1].clone().unwrap() };
            let start = std::time::Instant::now();
            let a = || Array::from_f32([1, 1, 16, 8], &[0.5; 128]).unwrap();
            run_on(&graph, &[("g", &g)], &[("q", a()), ("k", a()), ("v", a())], &context().target().with_class(class), PlanOptions::default()).unwrap();
            eprintln!("{class:?} {pass} {:?}", start.elapsed());
        }
    }
}
