//! Convolutions over one to three axes and their transposes against PyTorch, values and gradients.

use crate::{fixture::Fixture, reference};
use serde_json::Value;
use wgrad::{
    ops::{Conv, ConvTranspose, Padding},
    prelude::*,
};

/// A number for each axis.
fn axes<const D: usize>(value: &Value) -> [usize; D] {
    std::array::from_fn(|axis| value[axis].as_u64().unwrap() as usize)
}

fn conv<const D: usize>(case: &Value) -> Conv<D> {
    let padding = match &case["padding"] {
        Value::String(_) => Padding::Same,
        sides if sides[0].is_array() => std::array::from_fn::<_, D, _>(|axis| axes::<2>(&sides[axis])).into(),
        padding => axes::<D>(padding).into(),
    };
    Conv {
        stride: axes(&case["stride"]),
        padding,
        dilation: axes(&case["dilation"]),
        groups: case["groups"].as_u64().unwrap() as usize,
    }
}

fn transpose<const D: usize>(case: &Value) -> ConvTranspose<D> {
    ConvTranspose {
        stride: axes(&case["stride"]),
        padding: axes::<D>(&case["padding"]).into(),
        output_padding: axes(&case["output_padding"]),
        dilation: axes(&case["dilation"]),
        groups: case["groups"].as_u64().unwrap() as usize,
    }
}

fn build(graph: &Graph, case: &Value, fixture: &Fixture) -> (Tensor, Vec<(String, Tensor)>) {
    let name = case["name"].as_str().unwrap();
    let input = |key: &str| Some(graph.input(key, fixture.find(&format!("{name}.{key}"))?.shape()));
    let (x, w, bias) = (input("x").unwrap(), input("weight").unwrap(), input("bias"));
    let bias = bias.as_ref();
    let y = match case["op"].as_str().unwrap() {
        "conv1d" => x.conv1d(&w, bias, conv(case)),
        "conv2d" => x.conv2d(&w, bias, conv(case)),
        "conv3d" => x.conv3d(&w, bias, conv(case)),
        "conv_transpose1d" => x.conv_transpose1d(&w, bias, transpose(case)),
        "conv_transpose2d" => x.conv_transpose2d(&w, bias, transpose(case)),
        "conv_transpose3d" => x.conv_transpose3d(&w, bias, transpose(case)),
        op => panic!("no operation {op}"),
    };
    let floats = [("x", Some(&x)), ("weight", Some(&w)), ("bias", bias)];
    (y, floats.into_iter().filter_map(|(key, tensor)| Some((key.to_owned(), tensor?.clone()))).collect())
}

#[test]
fn every_dimension_equals_pytorchs() {
    reference::compare("conv", build);
}
