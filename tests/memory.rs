//! What a plan says it needs, what the library then asks for, and what the driver holds.

use wgrad::{
    graph::Role,
    models::{BertConfig, alexnet, bert},
    optim::Adam,
    prelude::*,
};

/// The loss of AlexNet over 4 images.
fn alexnet_loss(graph: &Graph) -> Tensor {
    let (x, label) = (graph.input("x", [4, 3, 224, 224]), graph.input_of("label", [4], DType::U32));
    alexnet(1000).apply(&x).cross_entropy(&label)
}

/// The loss of a BERT of 6 layers and width 384 over 4 texts of 128 tokens.
fn bert_loss(graph: &Graph) -> Tensor {
    let config =
        BertConfig { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..BertConfig::default() };
    let [ids, wanted] = [("ids", vec![4, 128]), ("wanted", vec![512])]
        .map(|(name, shape)| graph.input_of(name, shape.as_slice(), DType::U32));
    let lengths = graph.input_of("lengths", [4], DType::U32);
    bert(&config).lengths(&lengths).masked_lm(&ids).flatten(0, 1).cross_entropy(&wanted)
}

/// Trains for two steps with no more memory than the plan says, and compares with what the driver holds.
fn a_step_takes_what_its_plan_says(loss: fn(&Graph) -> Tensor) {
    // Tests that run beside this one have another device.
    let context = pollster::block_on(Context::new()).unwrap();
    let before = context.driver_memory().expect("Vulkan and DX12 tell");
    let graph = Graph::new(Mode::Train);
    let loss = loss(&graph);
    Adam::new(1e-3).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context.target()).unwrap();
    let memory = plan.memory();
    assert!(memory.total() > 400 << 20, "{memory}");

    context.set_budget(memory.total() + memory.readback);
    let weights = Weights::init(&context, &plan, 1).unwrap();
    assert_eq!(context.allocated(), memory.parameters + memory.state);
    let inputs: Vec<_> = plan.variables().iter().filter(|variable| variable.role == Role::Input).cloned().collect();
    let session = Session::new(&context, plan, &weights).unwrap();
    assert_eq!(context.allocated(), memory.total());
    let mut allocations = 0;
    for _ in 0..2 {
        for variable in &inputs {
            session.write(&variable.name, &Array::zeros(variable.desc.clone())).unwrap();
        }
        session.run().unwrap();
        assert!(session.read_blocking("loss").unwrap().to_f32()[0].is_finite());
        assert_eq!(context.allocated(), memory.total() + memory.readback);
        assert!(allocations == 0 || allocations == context.allocations(), "the second step allocates nothing");
        allocations = context.allocations();
    }

    let after = context.driver_memory().unwrap();
    let held = after.buffers - before.buffers;
    let ratio = held as f64 / memory.total() as f64;
    assert!((ratio - 1.0).abs() < 0.05, "the driver holds {held} bytes, the plan says\n{memory}");
    // Buffers lie in blocks of up to 64 MiB, and larger ones in their own.
    let asked = after.blocks - before.blocks;
    let ratio = asked as f64 / memory.total() as f64;
    println!("asked of the driver: {ratio:.3} of what the plan says");
    assert!(ratio < 1.1, "{after:?}\n{memory}");
}

#[test]
fn alexnets_step_takes_what_its_plan_says() {
    a_step_takes_what_its_plan_says(alexnet_loss);
}

#[test]
fn berts_step_takes_what_its_plan_says() {
    a_step_takes_what_its_plan_says(bert_loss);
}

#[test]
fn readback_is_counted_apart() {
    let context = pollster::block_on(Context::new()).unwrap();
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [5]);
    let (y, mask) = (x.exp(), x.gt(&graph.constant(0.0, DType::F32)));
    let plan = graph.plan(&[("y", &y), ("mask", &mask)], context.target()).unwrap();
    let memory = plan.memory();
    assert_eq!((memory.inputs, memory.outputs, memory.readback), (32, 64, 40));
    let weights = Weights::init(&context, &plan, 1).unwrap();
    let session = Session::new(&context, plan, &weights).unwrap();
    session.run().unwrap();
    let (y, mask) = (session.fetch("y").unwrap(), session.fetch("mask").unwrap());
    assert_eq!(context.allocated(), memory.total() + memory.readback);
    assert_eq!((y.wait().unwrap().to_f32(), mask.wait().unwrap().to_u32()), (vec![1.0; 5], vec![0; 5]));
}
