//! Single operations, forward and with the gradients of Σ y⊙g.

use crate::{
    inputs::{numbers, tokens},
    workload::{Make, Pass, Ready, Workload},
};
use wgrad::{
    autodiff::gradients,
    ops::{Attention, Cell, Conv2d, MaxPool2d, Recurrent, RecurrentWeights},
    prelude::*,
};

const BOTH: &[Pass] = &[Pass::Forward, Pass::ForwardBackward];
const FORWARD: &[Pass] = &[Pass::Forward];

/// An input of an operation, filled from a seed.
#[derive(Clone)]
struct Input {
    shape: Vec<usize>,
    fill: Fill,
}

#[derive(Clone)]
enum Fill {
    /// Parts of uniform numbers one after another, each with a seed and as long as the others.
    Numbers { seeds: Vec<u32>, scale: f32 },
    /// Row numbers, through which no gradient flows.
    Tokens { seed: u32, limit: u32 },
}

fn input(seed: u32, shape: &[usize], scale: f32) -> Input {
    Input { shape: shape.to_vec(), fill: Fill::Numbers { seeds: vec![seed], scale } }
}

impl Input {
    fn array(&self) -> Result<Array, Error> {
        let count: usize = self.shape.iter().product();
        let shape = self.shape.as_slice();
        match &self.fill {
            Fill::Numbers { seeds, scale } => {
                let part = |&seed: &u32| numbers(seed, count / seeds.len(), *scale);
                Array::from_f32(shape, &seeds.iter().flat_map(part).collect::<Vec<_>>())
            }
            Fill::Tokens { seed, limit } => Array::from_u32(shape, &tokens(*seed, count, *limit)),
        }
    }
}

/// y = f(inputs), and for the second pass the loss Σ y⊙g with its gradients.
///
/// The loss is an output as well: no part of the forward pass may be left out as unused.
fn operation(inputs: Vec<Input>, f: impl Fn(&[Tensor]) -> Tensor + 'static) -> Make {
    Box::new(move |context, pass| {
        // A graph for training keeps on the way what the gradients need.
        let graph = Graph::new(if pass == Pass::Forward { Mode::Infer } else { Mode::Train });
        let mut arrays = Vec::new();
        let mut leaves = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            let array = input.array()?;
            leaves.push(graph.input_of(&format!("x{i}"), input.shape.as_slice(), array.desc().dtype));
            arrays.push((format!("x{i}"), array));
        }
        let y = f(&leaves);
        let mut outputs = Vec::new();
        if pass == Pass::Forward {
            outputs.push(("y".to_owned(), y));
        } else {
            let g = graph.input("g", y.shape());
            let count = y.shape().numel();
            arrays.push(("g".to_owned(), Array::from_f32(y.shape(), &numbers(99, count, 1.0))?));
            let loss = y.mul(&g).sum_all();
            let differentiable: Vec<Tensor> =
                leaves.into_iter().filter(|leaf| leaf.desc().dtype != DType::U32).collect();
            let found = gradients(&loss, &differentiable);
            let named = found.into_iter().enumerate();
            outputs.extend(named.filter_map(|(i, gradient)| Some((format!("d{i}"), gradient?))));
            outputs.push(("loss".to_owned(), loss));
        }
        let named: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let plan = graph.plan(&named, context.target())?;
        let weights = Weights::init(context, &plan, 0)?;
        let session = Session::new(context, plan, &weights)?;
        for (name, array) in &arrays {
            session.write(name, array)?;
        }
        let checked = outputs.into_iter().map(|(name, _)| name).filter(|name| name != "loss").collect();
        Ok(Ready { session, checked })
    })
}

/// A convolution `[N, C, H, W]` with bias.
fn conv(name: &'static str, x: [usize; 4], w: [usize; 4], options: Conv2d) -> Workload {
    let inputs = vec![input(1, &x, 1.0), input(2, &w, 0.1), input(3, &w[..1], 0.1)];
    let make = operation(inputs, move |x| x[0].conv2d(&x[1], Some(&x[2]), options));
    Workload { name, passes: BOTH, make }
}

/// An LSTM over `[8, 64, 256]`: its matrices have one seed a gate, in the order W_ih, b_ih, W_hh, b_hh.
fn lstm() -> Make {
    let hidden = 256;
    let stacked = |first: u32, shape: &[usize]| {
        let seeds = (0..4).map(|gate| first + 4 * gate).collect();
        Input { shape: shape.to_vec(), fill: Fill::Numbers { seeds, scale: 1.0 / 16.0 } }
    };
    let inputs = vec![
        input(1, &[8, 64, hidden], 1.0),
        stacked(1000, &[4 * hidden, hidden]),
        stacked(1002, &[4 * hidden, hidden]),
        stacked(1001, &[4 * hidden]),
        stacked(1003, &[4 * hidden]),
    ];
    let make = operation(inputs, |x| {
        let weights = RecurrentWeights { weight_ih: &x[1], weight_hh: &x[2], bias: Some([&x[3], &x[4]]) };
        x[0].recurrent(Cell::Lstm, &weights, &Recurrent::default()).output
    });
    // Engines keep their gates apart or together, so that only the gradient of x is compared.
    Box::new(move |context, pass| {
        let mut ready = make(context, pass)?;
        ready.checked.truncate(1);
        Ok(ready)
    })
}

/// All of them.
pub fn operations() -> Vec<Workload> {
    let mut all = Vec::new();
    let mut add = |name, passes, make| all.push(Workload { name, passes, make });
    for (name, n) in [("matmul_256", 256), ("matmul_512", 512), ("matmul_1024", 1024)] {
        let inputs = vec![input(1, &[n, n], 1.0), input(2, &[n, n], 1.0)];
        add(name, BOTH, operation(inputs, |x| x[0].matmul(&x[1])));
    }
    let batch = [16, 256, 256];
    let inputs = vec![input(1, &batch, 1.0), input(2, &batch, 1.0)];
    add("bmm_16x256", BOTH, operation(inputs, |x| x[0].matmul(&x[1])));

    let same = Conv2d::default().padding([1, 1]);
    all.push(conv("conv2d_64x56_k3", [1, 64, 56, 56], [64, 64, 3, 3], same));
    let wide = Conv2d::default().stride([4, 4]).padding([2, 2]);
    all.push(conv("conv2d_alexnet1", [1, 3, 224, 224], [64, 3, 11, 11], wide));
    all.push(conv("conv2d_groups32", [1, 64, 56, 56], [64, 2, 3, 3], same.groups(32)));

    let mut add = |name, passes, make| all.push(Workload { name, passes, make });
    let pool = MaxPool2d::new(3).stride([2, 2]);
    let planes = vec![input(1, &[1, 64, 112, 112], 1.0)];
    add("maxpool_3x3s2", BOTH, operation(planes, move |x| x[0].max_pool2d(pool)));
    for (name, causal) in [("attention", false), ("attention_causal", true)] {
        let inputs = (1..=3).map(|seed| input(seed, &[1, 8, 512, 64], 1.0)).collect();
        let make =
            operation(inputs, move |x| x[0].attention(&x[1], &x[2], Attention { causal, ..Attention::default() }));
        add(name, BOTH, make);
    }
    let inputs = vec![input(1, &[512, 1024], 1.0), input(2, &[1024], 1.0), input(3, &[1024], 1.0)];
    add("layer_norm", BOTH, operation(inputs, |x| x[0].layer_norm(&x[1], &x[2], 1e-5)));
    add("softmax", BOTH, operation(vec![input(1, &[512, 1024], 1.0)], |x| x[0].softmax(-1)));
    let gelu = operation(vec![input(1, &[8192, 1024], 1.0)], |x| (&x[0] * 1.3 + 0.1).gelu());
    add("gelu_axb_8m", BOTH, gelu);
    add("lstm", BOTH, lstm());
    let ids = Input { shape: vec![8, 128], fill: Fill::Tokens { seed: 2, limit: 30_000 } };
    add("embedding", BOTH, operation(vec![input(1, &[30_000, 384], 1.0), ids], |x| x[0].embedding(&x[1])));
    let chain = operation(vec![input(1, &[1024], 1.0)], |x| (0..100).fold(x[0].clone(), |y, _| y * 1.001 + 0.001));
    add("tiny_elementwise_200", FORWARD, chain);
    let products = operation(vec![input(1, &[32, 32], 1.0), input(2, &[32, 32], 0.3)], |x| {
        (0..200).fold(x[0].clone(), |y, _| y.matmul(&x[1]))
    });
    add("tiny_matmul_200", FORWARD, products);
    all
}
