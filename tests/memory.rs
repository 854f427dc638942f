//! What a plan says it needs, what the library asks for, and what the driver then holds.

use wgrad::{
    models::{BertConfig, alexnet, bert},
    optim::Adam,
    prelude::*,
};

/// A training step of AlexNet with batch 4.
fn alexnet_step(graph: &Graph) -> Tensor {
    let (x, label) = (graph.input("x", [4, 3, 224, 224]), graph.input_of("label", [4], DType::U32));
    alexnet(1000).apply(&x).cross_entropy(&label)
}

/// A training step of a BERT of 6 layers and width 384 on 4 texts of 128 tokens.
fn bert_step(graph: &Graph) -> Tensor {
    let config = BertConfig { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..BertConfig::default() };
    let ids = graph.input_of("ids", [4, 128], DType::U32);
    let lengths = graph.input_of("lengths", [4], DType::U32);
    let logits = bert(&config).lengths(&lengths).masked_lm(&ids);
    logits.flatten(0, 1).cross_entropy(&graph.input_of("wanted", [4 * 128], DType::U32))
}

fn rss() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM")).collect()
}

fn measure(name: &str, loss: fn(&Graph) -> Tensor) {
    let context = pollster::block_on(Context::new()).unwrap();
    let before = context.driver_memory().unwrap();
    println!("{name}: before {before:?} {}", rss());
    let graph = Graph::new(Mode::Train);
    let loss = loss(&graph);
    Adam::new(1e-3).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context.target()).unwrap();
    let memory = plan.memory();
    println!("{memory}");
    let weights = Weights::init(&context, &plan, 1).unwrap();
    context.wait().unwrap();
    println!("weights {:?} {} {}", context.driver_memory(), context.allocated(), rss());
    let inputs: Vec<_> = plan.variables().iter().filter(|v| v.init.is_none()).cloned().collect();
    let session = Session::new(&context, plan, &weights).unwrap();
    println!("session {:?} {} {}", context.driver_memory(), context.allocated(), rss());
    for variable in inputs {
        session.write(&variable.name, &Array::zeros(variable.desc.clone())).unwrap();
    }
    println!("written {:?} {} {}", context.driver_memory(), context.allocated(), rss());
    session.run().unwrap();
    context.wait().unwrap();
    println!("run {:?} {} {}", context.driver_memory(), context.allocated(), rss());
    println!("loss {:?}", session.read_blocking("loss").unwrap().to_f32());
    let after = context.driver_memory().unwrap();
    println!("read {:?} {} {}", after, context.allocated(), rss());
    println!("{}", (after.buffers - before.buffers) as f64 / memory.total() as f64);
}

#[test]
fn alexnet_measured() {
    measure("alexnet", alexnet_step);
}

#[test]
fn bert_measured() {
    measure("bert", bert_step);
}
