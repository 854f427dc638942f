//! Long rows: a software driver ends a thread's loops after 65,535 rounds in all, without a word.

use wgrad::{autodiff::gradients, prelude::*, testing::run};

const LONG: usize = 700_000;

fn numbers() -> Vec<f32> {
    (0..LONG).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0).collect()
}

fn close(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 2e-5 * expected.abs().max(1e-9), "{what}: {found}, not {expected}");
}

#[test]
fn rows_of_seven_hundred_thousand_numbers() {
    let x = numbers();
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let sum: f64 = wide.iter().sum();
    let exponentials: f64 = wide.iter().map(|x| x.exp()).sum();
    let mean = sum / LONG as f64;
    let variance = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / LONG as f64;

    let graph = Graph::new(Mode::Train);
    let input = graph.input("x", [1, LONG]);
    let (weight, bias) = (graph.full([LONG], 1.0, DType::F32), graph.full([LONG], 0.0, DType::F32));
    let target = graph.input_of("target", [1], DType::U32);
    let softmax = input.softmax(-1);
    let loss = input.cross_entropy(&target);
    let gradient = gradients(&loss, std::slice::from_ref(&input))[0].clone().unwrap();
    let outputs = [
        ("sum", input.sum(&[1], false)),
        ("max", input.max(&[1], false)),
        ("softmax", softmax),
        ("log_softmax", input.log_softmax(-1)),
        ("layer_norm", input.layer_norm(&weight, &bias, 1e-5)),
        ("loss", loss),
        ("gradient", gradient),
        ("argmax", input.argmax(1)),
    ];
    let named: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let target = LONG as u32 - 3;
    let inputs = [("x", Array::from_f32([1, LONG], &x).unwrap()), ("target", Array::from_u32([1], &[target]).unwrap())];
    let found: Vec<Vec<f32>> = run(&graph, &named, &inputs).unwrap().iter().map(Array::to_f32).collect();

    close("sum", f64::from(found[0][0]), sum);
    let largest = wide.iter().copied().fold(0.0, f64::max);
    close("max", f64::from(found[1][0]), largest);
    for at in [0, LONG / 2, LONG - 1] {
        close("softmax", f64::from(found[2][at]), wide[at].exp() / exponentials);
        close("log_softmax", f64::from(found[3][at]), wide[at] - exponentials.ln());
        close("layer_norm", f64::from(found[4][at]) + 10.0, (wide[at] - mean) / (variance + 1e-5).sqrt() + 10.0);
        close("gradient", f64::from(found[6][at]), wide[at].exp() / exponentials);
    }
    close("loss", f64::from(found[5][0]), exponentials.ln() - wide[target as usize]);
    assert_eq!(found[7][0] as usize, wide.iter().position(|&x| x == largest).unwrap());
}

#[test]
fn columns_of_seven_hundred_thousand_numbers() {
    let x = numbers();
    let graph = Graph::new(Mode::Infer);
    let input = graph.input("x", [LONG, 1]);
    let (a, b) = (input.sum(&[0], false), input.transpose(0, 1).matmul(&input));
    let inputs = [("x", Array::from_f32([LONG, 1], &x).unwrap())];
    let found = run(&graph, &[("a", &a), ("b", &b)], &inputs).unwrap();
    close("sum", f64::from(found[0].to_f32()[0]), x.iter().map(|&x| f64::from(x)).sum());
    close("product", f64::from(found[1].to_f32()[0]), x.iter().map(|&x| f64::from(x).powi(2)).sum());
}

#[test]
fn the_same_word_two_hundred_thousand_times() {
    const COUNT: usize = 200_000;
    let graph = Graph::new(Mode::Train);
    let weight = graph.parameter("weight", [3, 2], Init::ones());
    let ids = graph.input_of("ids", [COUNT], DType::U32);
    let loss = weight.embedding(&ids).sum_all();
    let gradient = gradients(&loss, std::slice::from_ref(&weight))[0].clone().unwrap();
    let list: Vec<u32> = (0..COUNT as u32).map(|i| if i % 100 == 0 { 2 } else { 1 }).collect();
    let found = run(&graph, &[("g", &gradient)], &[("ids", Array::from_u32([COUNT], &list).unwrap())]).unwrap();
    assert_eq!(found[0].to_f32(), [0.0, 0.0, 198_000.0, 198_000.0, 2000.0, 2000.0]);
}
