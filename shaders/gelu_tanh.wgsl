// gelu_tanh(x) = ½·x·(1 + tanh u) = x·σ(2u) with u = √(2/π)·(x + 0.044715·x³)
//#import sigmoid
fn gelu_tanh(x: f32) -> f32 {
    return x * sigmoid(gelu_tanh_argument(x));
}

// 2u
fn gelu_tanh_argument(x: f32) -> f32 {
    return 1.595769121605731 * x * (1.0 + 0.044715 * x * x);
}

// s + x·s·(1 − s)·2u′ with s = σ(2u)
fn gelu_tanh_grad(x: f32) -> f32 {
    let s = sigmoid(gelu_tanh_argument(x));
    let slope = 1.595769121605731 * (1.0 + 3.0 * 0.044715 * x * x);
    return s + x * s * (1.0 - s) * slope;
}
