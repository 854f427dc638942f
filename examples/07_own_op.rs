//! An operation of your own, from outside the crate: a WGSL file, a shape rule and a gradient.
//!
//! `wgrad::shader!` looks in the `shaders` folder of the crate that uses it, so a crate of your own
//! says `shader!("snake")`; this example lives inside wgrad and names its file itself.

use wgrad::{
    autodiff::gradients,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise},
    kernel::Shader,
    prelude::*,
    testing::{Check, Numbers},
};

static SNAKE: Shader = Shader { name: "snake", source: include_str!("shaders/snake.wgsl") };

/// snake(x) = x + sin²(a·x)/a (Ziyin et al. 2020), an activation for periodic data.
#[derive(Debug)]
struct Snake {
    a: f32,
    order: Order,
}

#[derive(Debug, PartialEq)]
enum Order {
    Value,
    Derivative,
}

impl Op for Snake {
    fn name(&self) -> &'static str {
        "snake"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = if self.order == Order::Value { "snake" } else { "snake_grad" };
        Some(Pointwise::new(&SNAKE, function).scalar(self.a))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        match self.order {
            Order::Value => {
                let slope = at.x(0).graph().apply1(Snake { a: self.a, order: Order::Derivative }, &[at.x(0)]);
                Gradients::of([Some(at.dy(0) * slope)])
            }
            Order::Derivative => Gradients::none(),
        }
    }
}

/// The method users see.
trait SnakeExt {
    fn snake(&self, a: f32) -> Tensor;
}

impl SnakeExt for Tensor {
    #[track_caller]
    fn snake(&self, a: f32) -> Tensor {
        self.graph().apply1(Snake { a, order: Order::Value }, &[self])
    }
}

fn main() -> Result<(), Error> {
    // Values against the definition, gradients against its finite differences, on every variant.
    let definition = |[x]: [Numbers; 1]| x.map(|x| x + (3.0 * x).sin().powi(2) / 3.0);
    Check::new(|[x]: [Tensor; 1]| x.snake(3.0), definition).shapes([[5, 7]]).shapes([[1, 1]]).shapes([[64, 100]]).run();

    // It fuses with its neighbours like the operations of the crate.
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [100]);
    let loss = (x.snake(1.0) * 2.0).sum_all();
    let dx = gradients(&loss, std::slice::from_ref(&x))[0].clone().unwrap_or(x);
    let context = wgrad::testing::context();
    println!("{}", graph.plan(&[("dx", &dx)], context.target())?.report());

    // What it lacks is an error that names it, not a silent zero.
    gradients(&dx.sum_all(), &[graph.input("x", [100])]);
    match graph.check() {
        Err(error) if error.is_gradient() => println!("{error}"),
        other => panic!("snake has no second gradient, but {other:?}"),
    }
    Ok(())
}
