//! Long rows: a software driver ends a thread's loops after 65,535 rounds in all, without a word.

use wgrad::{
    autodiff::gradients,
    kernel::{DeviceClass, Target},
    prelude::*,
    testing::run,
};

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

#[test]
fn seven_hundred_thousand_rows_share_one_weight() {
    let x = numbers();
    let graph = Graph::new(Mode::Train);
    let input = graph.input("x", [LONG / 2, 2]);
    let (weight, bias) = (graph.parameter("weight", [2], Init::ones()), graph.parameter("bias", [2], Init::zeros()));
    let loss = input.layer_norm(&weight, &bias, 1e-5).mul(&input).sum_all();
    let found = gradients(&loss, &[weight, bias]);
    let outputs = [("weight", found[0].as_ref().unwrap()), ("bias", found[1].as_ref().unwrap())];
    let found = run(&graph, &outputs, &[("x", Array::from_f32([LONG / 2, 2], &x).unwrap())]).unwrap();
    let (mut weight, mut bias) = ([0.0; 2], [0.0; 2]);
    for row in x.chunks_exact(2) {
        let row = [f64::from(row[0]), f64::from(row[1])];
        let mean = f64::midpoint(row[0], row[1]);
        let deviation = ((row[0] - mean).powi(2) + 1e-5).sqrt();
        for i in 0..2 {
            weight[i] += row[i] * (row[i] - mean) / deviation;
            bias[i] += row[i];
        }
    }
    for i in 0..2 {
        close("weight", f64::from(found[0].to_f32()[i]), weight[i]);
        close("bias", f64::from(found[1].to_f32()[i]), bias[i]);
    }
}

#[test]
fn long_rows_whose_elements_are_apart() {
    const ROWS: usize = 100_000;
    let x = &numbers()[..3 * ROWS];
    let graph = Graph::new(Mode::Infer);
    let input = graph.input("x", [ROWS, 3]);
    let outputs = [("softmax", &input.softmax(0)), ("log", &input.log_softmax(0)), ("argmax", &input.argmax(0))];
    let found = run(&graph, &outputs, &[("x", Array::from_f32([ROWS, 3], x).unwrap())]).unwrap();
    assert_eq!(*found[0].shape(), [ROWS, 3].into());
    for column in 0..3 {
        let row: Vec<f64> = x.iter().skip(column).step_by(3).map(|&x| f64::from(x)).collect();
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        for at in [0, ROWS / 2, ROWS - 1] {
            close("softmax", f64::from(found[0].to_f32()[at * 3 + column]), row[at].exp() / sum);
            close("log_softmax", f64::from(found[1].to_f32()[at * 3 + column]), row[at] - sum.ln());
        }
        let largest = row.iter().copied().fold(0.0, f64::max);
        assert_eq!(found[2].to_u32()[column] as usize, row.iter().position(|&x| x == largest).unwrap());
    }
}

#[test]
fn what_cannot_be_cut_is_refused_and_not_computed_wrongly() {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("x", [2, 20_000, 3]).cross_entropy(&graph.input_of("target", [2, 3], DType::U32));
    let plan = |class| graph.plan(&[("y", &y)], &Target::baseline().with_class(class));
    let error = plan(DeviceClass::Software).unwrap_err();
    assert!(error.is_limit());
    let text = "cross_entropy: rows of 20000 whose elements are apart are longer than the 16384 a software driver can go through";
    assert_eq!(error.message(), text);
    assert!(plan(DeviceClass::Portable).is_ok());
}
