//! The gradient contract across operations.

use wgrad::{autodiff::gradients, prelude::*, testing::run};

fn array(numbers: &[f32]) -> Array {
    Array::from_f32([numbers.len()], numbers).unwrap()
}

/// Reads the gradients of `loss` with respect to inputs that hold the given numbers.
fn read(graph: &Graph, loss: &Tensor, of: &[&Tensor], inputs: &[(&str, &[f32])]) -> Vec<Option<Vec<f32>>> {
    let of: Vec<Tensor> = of.iter().map(|&tensor| tensor.clone()).collect();
    let found = gradients(loss, &of);
    found
        .iter()
        .map(|gradient| {
            let gradient = gradient.as_ref()?;
            let plan = graph.plan(&[("g", gradient)], wgrad::testing::context().target()).unwrap();
            let used: Vec<&str> = plan.variables().iter().map(|v| &*v.name).collect();
            let inputs: Vec<(&str, Array)> =
                inputs.iter().filter(|(name, _)| used.contains(name)).map(|(name, x)| (*name, array(x))).collect();
            Some(run(graph, &[("g", gradient)], &inputs).unwrap()[0].to_f32())
        })
        .collect()
}

#[test]
fn a_value_used_twice_gets_the_sum() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [3]);
    let loss = (&x * &x).add(&x).sum_all();
    let found = read(&graph, &loss, &[&x], &[("x", &[1.0, 2.0, -3.0])]);
    assert_eq!(found, [Some(vec![3.0, 5.0, -5.0])]);
}

#[test]
fn an_unused_value_has_none() {
    let graph = Graph::new(Mode::Train);
    let (x, y) = (graph.input("x", [2]), graph.input("y", [2]));
    let loss = x.sum_all();
    let found = gradients(&loss, &[x, y]);
    assert!(found[0].is_some() && found[1].is_none());
    graph.check().unwrap();
}

#[test]
fn detach_stops_the_gradient() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [2]);
    let loss = x.mul(&x.detach()).sum_all();
    let found = read(&graph, &loss, &[&x], &[("x", &[3.0, -4.0])]);
    assert_eq!(found, [Some(vec![3.0, -4.0])]);
}

#[test]
fn the_loss_itself_has_gradient_one() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [1]);
    let loss = x.sum_all();
    let found = read(&graph, &loss, &[&loss], &[]);
    assert_eq!(found, [Some(vec![1.0])]);
}

#[test]
fn second_gradients_compose() {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [4]);
    let loss = x.tanh().sum_all();
    let first = gradients(&loss, std::slice::from_ref(&x))[0].clone().unwrap();
    let found = read(&graph, &first.sum_all(), &[&x], &[("x", &[0.0, 0.5, -1.0, 2.0])]);
    let expected = [0.0_f32, 0.5, -1.0, 2.0].map(|x| -2.0 * x.tanh() * (1.0 - x.tanh().powi(2)));
    for (found, expected) in found[0].as_ref().unwrap().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn second_gradients_of_matmul_and_reductions() {
    // loss = Σ (x·w)³, d²loss/dx² along itself: gradient of Σ (dloss/dx)·v with v = 1.
    let graph = Graph::new(Mode::Train);
    let (x, w) = (graph.input("x", [2]), graph.input("w", [2]));
    let y = x.reshape([1, 2]).matmul(&w.reshape([2, 1]));
    let loss = (&y * &y).mul(&y).sum_all();
    let first = gradients(&loss, std::slice::from_ref(&x))[0].clone().unwrap();
    let found = read(&graph, &first.sum_all(), &[&x], &[("x", &[1.0, 2.0]), ("w", &[0.5, -1.0])]);
    // y = x·w = −1.5; d loss/dx = 3y²w; its sum's gradient = 6·y·(Σw)·w.
    let expected = [0.5, -1.0].map(|w| 6.0 * -1.5 * -0.5 * w);
    for (found, expected) in found[0].as_ref().unwrap().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn gradients_keep_the_layer_they_came_from() {
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [2], Init::ones());
    let loss = graph.scoped("head", || w.tanh()).sum_all();
    gradients(&loss, &[w]);
    let text = graph.to_string();
    assert!(text.lines().filter(|line| line.contains("in head")).count() > 1, "{text}");
}
