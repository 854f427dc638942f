// sigmoid(x) = 1/(1 + e^−x)
fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}
