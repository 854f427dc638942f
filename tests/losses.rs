//! Losses against PyTorch: values and gradients with every reduction and option.

use crate::fixture::{Fixture, assert_close};
use serde_json::Value;
use wgrad::{
    autodiff::gradients,
    kernel::DeviceClass,
    ops::{BinaryCrossEntropy, CrossEntropy, MultiMargin, NllLoss, Reduction},
    plan::PlanOptions,
    prelude::*,
    testing::{context, run_on},
};

fn number(case: &Value, key: &str) -> f32 {
    case[key].as_f64().unwrap() as f32
}

/// The loss of a case, of the inputs it has.
fn build(case: &Value, input: &dyn Fn(&str) -> Option<Tensor>) -> Tensor {
    let get = |key: &str| input(key).unwrap();
    let [x, target] = ["x", "target"].map(get);
    let reduction = match case["reduction"].as_str().unwrap_or("none") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "batchmean" => Reduction::BatchMean,
        _ => Reduction::None,
    };
    let ignored = case["ignore_index"].as_i64().unwrap_or(-100);
    match case["loss"].as_str().unwrap() {
        "cross_entropy" => {
            let smoothing = number(case, "label_smoothing");
            let options = CrossEntropy::new().reduction(reduction).ignore_index(ignored).label_smoothing(smoothing);
            CrossEntropy { weight: input("weight"), ..options }.apply(&x, &target)
        }
        "nll_loss" => {
            let options = NllLoss::new().reduction(reduction).ignore_index(ignored);
            NllLoss { weight: input("weight"), ..options }.apply(&x, &target)
        }
        "multi_margin_loss" => {
            let options = MultiMargin::new().reduction(reduction).margin(number(case, "margin"));
            let options = if case["p"] == 2 { options.squared() } else { options };
            MultiMargin { weight: input("weight"), ..options }.apply(&x, &target)
        }
        "binary_cross_entropy" => {
            let (weight, pos_weight) = (input("weight"), input("pos_weight"));
            BinaryCrossEntropy { reduction, weight, pos_weight }.apply(&x, &target)
        }
        "mse_loss" => x.mse_loss(&target, reduction),
        "l1_loss" => x.l1_loss(&target, reduction),
        "huber_loss" => x.huber_loss(&target, number(case, "delta"), reduction),
        "smooth_l1_loss" => x.smooth_l1_loss(&target, number(case, "beta"), reduction),
        "poisson_nll_loss" => x.poisson_nll_loss(&target, case["log_input"] == true, 1e-6, reduction),
        "gaussian_nll_loss" => x.gaussian_nll_loss(&target, &get("variance"), 1e-2, reduction),
        "kl_div" => x.kl_div(&target, case["log_target"] == true, reduction),
        "cosine_similarity" => x.cosine_similarity(&target, case["dim"].as_i64().unwrap() as isize, 1e-8),
        loss => panic!("no loss {loss}"),
    }
}

#[test]
fn losses_and_their_gradients_equal_pytorchs() {
    let fixture = Fixture::open("losses");
    assert!(fixture.table.len() > 100);
    for (i, case) in fixture.table.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        let stored = |key: &str| fixture.find(&format!("{name}.{key}"));
        let graph = Graph::new(Mode::Infer);
        let input = |key: &str| stored(key).map(|array| graph.input_of(key, array.shape(), array.desc().dtype));
        let y = build(case, &input);
        let dy = graph.input("dy", y.shape());
        let loss = (&y * &dy).sum_all();
        graph.check().unwrap_or_else(|error| panic!("{name}: {error}"));

        let keys: Vec<&str> =
            ["x", "target", "variance"].into_iter().filter(|key| stored(&format!("d{key}")).is_some()).collect();
        let of: Vec<Tensor> = keys.iter().filter_map(|key| input(key)).collect();
        let found: Vec<Tensor> = gradients(&loss, &of).into_iter().map(Option::unwrap).collect();
        let names: Vec<String> = keys.iter().map(|key| format!("d{key}")).collect();
        let mut outputs = vec![("y", &y)];
        outputs.extend(names.iter().map(String::as_str).zip(&found));

        // The classes take turns: every loss has many cases.
        let class = [DeviceClass::Software, DeviceClass::Portable][i % 2];
        let target = context().target().with_class(class);
        let plan = graph.plan(&outputs, &target).unwrap();
        let used = plan.variables().iter().map(|v| (&*v.name, stored(&v.name).unwrap().clone()));
        let arrays: Vec<(&str, Array)> = used.collect();
        let results = run_on(&graph, &outputs, &arrays, &target, PlanOptions::default());
        let results = results.unwrap_or_else(|error| panic!("{name} {class:?}: {error}"));
        for ((key, _), result) in outputs.iter().zip(&results) {
            let expected = stored(key).unwrap();
            assert_eq!(result.shape(), expected.shape(), "{name} {class:?}: shape of {key}");
            assert_close(&format!("{name} {class:?}: {key}"), &result.to_f32(), &expected.to_f32(), 1e-5);
        }
    }
}
