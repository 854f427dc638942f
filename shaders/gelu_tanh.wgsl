// gelu_tanh(x) = ½·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³)
//#import tanh
fn gelu_tanh(x: f32) -> f32 {
    return x * (0.5 + 0.5 * tanh_safe(gelu_tanh_argument(x)));
}

fn gelu_tanh_argument(x: f32) -> f32 {
    return 0.7978845608028654 * x * (1.0 + 0.044715 * x * x);
}

// ½(1 + t) + ½·x·(1 − t²)·u′ with t = tanh u
fn gelu_tanh_grad(x: f32) -> f32 {
    let t = tanh_safe(gelu_tanh_argument(x));
    let slope = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
    return 0.5 + 0.5 * t + 0.5 * x * (1.0 - t * t) * slope;
}
