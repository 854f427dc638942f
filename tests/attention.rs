//! Attention against PyTorch: values and all gradients of `fixtures/attention.py`.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    autodiff::gradients,
    graph::Role,
    kernel::DeviceClass,
    nn::{Cache, MultiHeadAttention, multi_head_attention},
    ops::Attention,
    prelude::*,
    testing::context,
};

/// A case and the graph it is built in.
struct Case<'a> {
    fixture: &'a Fixture,
    table: &'a serde_json::Value,
    graph: Graph,
}

impl Case<'_> {
    fn name(&self) -> &str {
        self.table["name"].as_str().unwrap()
    }

    fn find(&self, key: &str) -> Option<&Array> {
        self.fixture.find(&format!("{}.{key}", self.name()))
    }

    fn input(&self, key: &str) -> Option<Tensor> {
        self.find(key).map(|array| self.graph.input_of(key, array.shape(), array.desc().dtype))
    }

    fn is(&self, key: &str) -> bool {
        self.table[key].as_bool() == Some(true)
    }

    /// Compares y and the gradients of Σ y·w with respect to all that the case has gradients of.
    fn compare(&self, y: &Tensor, inputs: &[(&str, Option<&Tensor>)]) {
        let w = self.input("w").unwrap();
        let mut of: Vec<Tensor> = inputs.iter().filter_map(|(_, tensor)| tensor.cloned()).collect();
        of.extend(self.graph.parameters());
        let slopes = gradients(&(y * &w).sum_all(), &of);
        self.graph.check().unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        let variables = self.graph.variables();
        let parameters = variables.iter().filter(|variable| variable.role == Role::Parameter);
        let named = inputs.iter().filter(|(_, tensor)| tensor.is_some()).map(|(name, _)| *name);
        let names: Vec<String> =
            named.chain(parameters.map(|variable| &*variable.name)).map(|name| format!("d_{name}")).collect();
        let mut outputs = vec![("y", y)];
        outputs.extend(names.iter().map(String::as_str).zip(slopes.iter().flatten()));
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let plan = self.graph.plan(&outputs, &context().target().with_class(class)).unwrap();
            let weights = Weights::init(context(), &plan, 1).unwrap();
            let session = Session::new(context(), plan, &weights).unwrap();
            for variable in &variables {
                let array = self.find(&variable.name).unwrap();
                match variable.role {
                    Role::Input => session.write(&variable.name, array).unwrap(),
                    _ => weights.write(&variable.name, array).unwrap(),
                }
            }
            session.run().unwrap();
            for (name, _) in &outputs {
                let what = format!("{} {name} {class:?}", self.name());
                let found = session.read_blocking(name).unwrap();
                assert_close(&what, &found.to_f32(), &self.find(name).unwrap().to_f32(), 1e-5);
            }
        }
    }
}

#[test]
fn attention_and_its_layer_are_pytorchs() {
    let fixture = Fixture::open("attention");
    for table in &fixture.table {
        let case = Case { fixture: &fixture, table, graph: Graph::new(Mode::Train) };
        match table["op"].as_str().unwrap() {
            "sdpa" => {
                let [q, k, v] = ["q", "k", "v"].map(|key| case.input(key).unwrap());
                let options = Attention {
                    causal: case.is("is_causal"),
                    mask: case.input("mask"),
                    bias: case.input("bias"),
                    scale: table["scale"].as_f64().map(|scale| scale as f32),
                    ..Attention::default()
                };
                let y = q.attention(&k, &v, options.clone());
                let inputs = [("q", Some(&q)), ("k", Some(&k)), ("v", Some(&v)), ("bias", options.bias.as_ref())];
                case.compare(&y, &inputs);
            }
            _ => {
                let query = case.input("query").unwrap();
                let (key, value) = (case.input("key"), case.input("value"));
                let parameters: Vec<&str> =
                    table["parameters"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
                let mut layer = multi_head_attention(query.size(-1), table["heads"].as_u64().unwrap() as usize)
                    .bias(parameters.contains(&"in_proj_bias"));
                if case.is("causal") {
                    layer = layer.causal();
                }
                let options = Attention { lengths: case.input("lengths"), ..Attention::default() };
                let y = layer.attend(&query, key.as_ref().unwrap_or(&query), value.as_ref().unwrap_or(&query), options);
                case.compare(&y, &[("query", Some(&query)), ("key", key.as_ref()), ("value", value.as_ref())]);
            }
        }
    }
}

#[test]
fn a_layer_with_a_cache_continues_its_sequence() {
    let layer = multi_head_attention(8, 2).causal();
    let [plain, rotary] = [layer, layer.rotary(true)].map(continues);
    assert_ne!(plain, rotary);
}

/// Compares a layer that reads token by token with the same that reads all at once; the result.
fn continues(layer: MultiHeadAttention) -> Vec<f32> {
    let (tokens, width) = (5, 8);
    let plan = |count: usize, cached: bool| {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2, count, width]);
        let y = if cached {
            let cache = Cache::new(&graph, 2, tokens);
            let y = graph.scoped("attn", || layer.attend_cached(&x, &cache));
            cache.advance(count, None);
            y
        } else {
            layer.apply_at("attn", &x)
        };
        graph.plan(&[("y", &y)], context().target()).unwrap()
    };
    let whole = plan(tokens, false);
    let weights = Weights::init(context(), &whole, 1).unwrap();
    weights.extend(&plan(1, true)).unwrap();
    let numbers: Vec<f32> = (0..2 * tokens * width).map(|i| (i as f32 * 0.7).sin()).collect();
    let rows = |all: &[f32], t: usize| -> Vec<f32> {
        (0..2).flat_map(|b| all[(b * tokens + t) * width..][..width].to_vec()).collect()
    };
    let session = Session::new(context(), whole, &weights).unwrap();
    session.write("x", &Array::from_f32([2, tokens, width], &numbers).unwrap()).unwrap();
    session.run().unwrap();
    let expected = session.read_blocking("y").unwrap().to_f32();
    let session = Session::new(context(), plan(1, true), &weights).unwrap();
    for t in 0..tokens {
        session.write("x", &Array::from_f32([2, 1, width], &rows(&numbers, t)).unwrap()).unwrap();
        session.run().unwrap();
        let found = session.read_blocking("y").unwrap().to_f32();
        assert_close(&format!("token {t}"), &found, &rows(&expected, t), 1e-5);
    }
    expected
}

#[test]
fn a_layer_says_what_does_not_fit() {
    let message = |embed: usize, heads: usize, shape: &[usize]| {
        let graph = Graph::new(Mode::Infer);
        multi_head_attention(embed, heads).apply(&graph.input("x", shape));
        graph.check().unwrap_err().message().to_owned()
    };
    assert_eq!(message(10, 4, &[2, 3, 10]), "multi_head_attention: 10 is not a multiple of 4 heads");
    assert_eq!(message(8, 0, &[2, 3, 8]), "multi_head_attention: 8 is not a multiple of 0 heads");
    assert_eq!(message(8, 4, &[3, 8]), "query: needs dimensions [B, T, E], not shape [3, 8]");
}
