//! Recurrent networks against PyTorch, and how many dispatches they take.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    autodiff::gradients,
    chain,
    graph::{Role, Variable},
    kernel::{DeviceClass, Target},
    nn::{Rnn, gru, lstm, relu_rnn, simple_rnn},
    prelude::*,
    testing::context,
};

const CLASSES: [DeviceClass; 2] = [DeviceClass::Software, DeviceClass::Portable];

fn network(case: &serde_json::Value) -> Rnn {
    let hidden = case["hidden"].as_u64().unwrap() as usize;
    let rnn = match case["network"].as_str().unwrap() {
        "lstm" => lstm(hidden),
        "gru" => gru(hidden),
        "simple_rnn" => simple_rnn(hidden),
        _ => relu_rnn(hidden),
    };
    let rnn = rnn.layers(case["num_layers"].as_u64().unwrap() as usize).bias(case["bias"] != false);
    let rnn = if case["batch_first"] == true { rnn } else { rnn.time_major() };
    let rnn = case["proj_size"].as_u64().map_or(rnn.clone(), |width| rnn.projection(width as usize));
    if case["bidirectional"] == true { rnn.bidirectional() } else { rnn }
}

#[test]
fn outputs_states_and_gradients_equal_pytorchs() {
    let fixture = Fixture::open("recurrent");
    for (number, case) in fixture.table.iter().enumerate() {
        let of = |key: &str| fixture.get(&format!("{number}.{key}"));
        let graph = Graph::new(Mode::Train);
        let input = |key: &str| {
            let array = fixture.find(&format!("{number}.{key}"))?;
            Some(graph.input_of(key, array.shape(), array.desc().dtype))
        };
        let x = input("x").unwrap();
        let initial: Vec<Tensor> = ["h0", "c0"].iter().filter_map(|key| input(key)).collect();
        let result = network(case).with_states(&x, &initial, input("lengths").as_ref());
        let results: Vec<(&str, Tensor)> = [("output", Some(result.output)), ("h", Some(result.h)), ("c", result.c)]
            .into_iter()
            .filter_map(|(key, tensor)| Some((key, tensor?)))
            .collect();
        let losses = results.iter().map(|(key, tensor)| (tensor * input(&format!("{key}.weight")).unwrap()).sum_all());
        let loss = losses.reduce(|a, b| a + b).unwrap();
        let mut wanted: Vec<(String, Tensor)> = vec![("x".to_owned(), x)];
        wanted.extend(["h0".to_owned(), "c0".to_owned()].into_iter().zip(initial));
        let parameters = graph.variables().into_iter().filter(|variable| variable.role == Role::Parameter);
        wanted.extend(parameters.map(|variable| variable.name.to_string()).zip(graph.parameters()));
        let tensors: Vec<Tensor> = wanted.iter().map(|(_, tensor)| tensor.clone()).collect();
        let slopes: Vec<Tensor> = gradients(&loss, &tensors).into_iter().map(Option::unwrap).collect();
        graph.check().unwrap();
        assert_eq!(wanted.len(), 1 + results.len() - 1 + graph.parameters().len());

        for class in CLASSES {
            let mut outputs: Vec<(String, &Tensor)> = results.iter().map(|(key, t)| ((*key).to_owned(), t)).collect();
            outputs.extend(wanted.iter().zip(&slopes).map(|((key, _), slope)| (format!("{key}.grad"), slope)));
            let named: Vec<(&str, &Tensor)> = outputs.iter().map(|(key, tensor)| (key.as_str(), *tensor)).collect();
            let plan = graph.plan(&named, &context().target().with_class(class)).unwrap();
            let weights = Weights::init(context(), &plan, 1).unwrap();
            for variable in graph.variables() {
                if variable.role == Role::Parameter {
                    weights.write(&variable.name, of(&variable.name)).unwrap();
                }
            }
            let session = Session::new(context(), plan, &weights).unwrap();
            for variable in graph.variables().iter().filter(|variable| variable.role == Role::Input) {
                session.write(&variable.name, of(&variable.name)).unwrap();
            }
            session.run().unwrap();
            for (key, _) in &outputs {
                let found = session.read_blocking(key).unwrap().to_f32();
                assert_close(&format!("{case} {class:?}: {key}"), &found, &of(key).to_f32(), 1e-4);
            }
        }
    }
}

#[test]
fn an_lstm_layer_takes_few_dispatches() {
    let portable = Target { subgroups: false, f16: false, ..context().target().with_class(DeviceClass::Portable) };
    for (target, forward, all) in
        [(context().target().with_class(DeviceClass::Software), 3, 14), (Target::baseline(), 3, 17), (portable, 3, 17)]
    {
        let graph = Graph::new(Mode::Train);
        let y = lstm(256).apply(&graph.input("x", [8, 64, 256]));
        let plan = graph.plan(&[("y", &y)], &target).unwrap();
        let report = plan.report();
        assert_eq!(report.steps.len(), forward, "forward, {:?}:\n{report}", target.class);
        let gradients: Vec<Tensor> =
            gradients(&y.sum_squares(), &graph.parameters()).into_iter().map(Option::unwrap).collect();
        let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
        let named: Vec<(&str, &Tensor)> = names.into_iter().zip(&gradients).collect();
        let report = graph.plan(&named, &target).unwrap().report();
        assert!(report.steps.len() <= all, "forward and backward, {:?}:\n{report}", target.class);
        let steps = report.steps.iter().filter(|step| step.kernel == "recurrent/backward.all_steps");
        assert_eq!(steps.count(), 1, "one dispatch goes back through all steps:\n{report}");
    }
}

#[test]
fn names_and_initial_values_are_pytorchs() {
    let graph = Graph::new(Mode::Train);
    let net = chain![gru(16).layers(2).bidirectional().dropout(0.5), simple_rnn(4).bias(false).named("head")];
    let y = net.apply(&graph.input("x", [2, 3, 5]));
    assert_eq!(y.shape(), [2, 3, 4].into());
    let parameters: Vec<Variable> =
        graph.variables().into_iter().filter(|variable| variable.role == Role::Parameter).collect();
    let found: Vec<String> = parameters.iter().map(|v| format!("{} {}", v.name, v.desc.shape)).collect();
    let mut expected = Vec::new();
    for (layer, input) in [(0, 5), (1, 32)] {
        for suffix in ["", "_reverse"] {
            expected.push(format!("0.weight_ih_l{layer}{suffix} [48, {input}]"));
            expected.push(format!("0.weight_hh_l{layer}{suffix} [48, 16]"));
            expected.push(format!("0.bias_ih_l{layer}{suffix} [48]"));
            expected.push(format!("0.bias_hh_l{layer}{suffix} [48]"));
        }
    }
    expected.extend(["head.weight_ih_l0 [4, 32]".to_owned(), "head.weight_hh_l0 [4, 4]".to_owned()]);
    assert_eq!(found, expected);
    assert!(parameters[..16].iter().all(|variable| variable.init == Some(Init::Uniform { bound: 0.25 })));
    assert_eq!(parameters[17].init, Some(Init::Uniform { bound: 0.5 }));
}

#[test]
fn mistakes_name_the_network_and_the_shapes() {
    let message = |build: &dyn Fn(&Graph)| {
        let graph = Graph::new(Mode::Infer);
        build(&graph);
        graph.check().unwrap_err().message().to_owned()
    };
    let of = |rnn: &Rnn, graph: &Graph, initial: &[usize], lengths: usize| {
        let states: Vec<Tensor> = (0..2).map(|i| graph.input(&format!("s{i}"), initial)).collect();
        let lengths = graph.input_of("lengths", [lengths], DType::U32);
        rnn.with_states(&graph.input("x", [2, 3, 4]), &states, Some(&lengths));
    };
    assert_eq!(
        message(&|graph| drop(lstm(8).apply(&graph.input("x", [3, 4])))),
        "lstm: needs dimensions [B, T, in], not shape [3, 4]"
    );
    assert_eq!(
        message(&|graph| drop(gru(8).layers(0).apply(&graph.input("x", [2, 3, 4])))),
        "gru: needs at least one layer"
    );
    assert_eq!(
        message(&|graph| of(&lstm(8).bidirectional(), graph, &[1, 2, 8], 2)),
        "lstm: an initial state has shape [1, 2, 8], not [layers·directions, B, H] = [2, 2, 8]"
    );
    assert_eq!(message(&|graph| of(&gru(8), graph, &[1, 2, 8], 2)), "gru: takes 1 initial states, not 2");
    assert_eq!(
        message(&|graph| of(&lstm(8).projection(3), graph, &[1, 2, 8], 2)),
        "lstm: an initial state has shape [1, 2, 8], not [layers·directions, B, H] = [1, 2, 3]"
    );
    let projected = |rnn: Rnn| message(&|graph| drop(rnn.clone().projection(8).apply(&graph.input("x", [2, 3, 4]))));
    assert_eq!(projected(lstm(8)), "lstm: a projection to 8 of 8 numbers");
    assert_eq!(projected(gru(9)), "gru: only an LSTM has a projection");
    assert_eq!(message(&|graph| of(&lstm(8), graph, &[1, 2, 8], 3)), "lstm: lengths are u32[3], not u32[2]");
}

#[test]
fn a_second_gradient_is_an_error_that_names_the_operation() {
    for (rnn, name) in [(simple_rnn(3), "simple_rnn_grad"), (lstm(3), "lstm_grad"), (gru(3), "gru_grad")] {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [2, 3, 4]);
        let y = rnn.apply(&x);
        let wanted: Vec<Tensor> = graph.parameters().into_iter().chain([x]).collect();
        let slopes: Vec<Tensor> = gradients(&y.sum_squares(), &wanted).into_iter().map(Option::unwrap).collect();
        let loss = slopes.iter().map(Tensor::sum_squares).reduce(|a, b| a + b).unwrap();
        gradients(&loss, &wanted);
        let error = graph.check().unwrap_err();
        assert!(error.is_gradient());
        assert_eq!(error.message(), format!("{name}: has no gradient, and the loss needs one through it"));
    }
}
