// gelu_tanh(x) = x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
fn gelu_tanh(x: f32) -> f32 {
    return select(0.5 * x * (1.0 + gelu_tanh_inner(x)), 0.0, x < -12.0);
}

// (1 + t)/2 + x/2·(1 − t²)·u′ with t = tanh u, u = √(2/π)·(x + 0.044715·x³)
fn gelu_tanh_grad(x: f32) -> f32 {
    if abs(x) > 12.0 {
        return select(0.0, 1.0, x > 0.0);
    }
    let t = gelu_tanh_inner(x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * gelu_tanh_slope(x);
}

// (1 − t²)·(u′ + x/2·u″ − x·t·u′²)
fn gelu_tanh_grad_grad(x: f32) -> f32 {
    if abs(x) > 12.0 {
        return 0.0;
    }
    let t = gelu_tanh_inner(x);
    let u1 = gelu_tanh_slope(x);
    let u2 = 0.7978845608028654 * 6.0 * 0.044715 * x;
    return (1.0 - t * t) * (u1 + 0.5 * x * u2 - x * t * u1 * u1);
}

fn gelu_tanh_inner(x: f32) -> f32 {
    let u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return select(tanh(u), sign(u), abs(u) > 15.0);
}

fn gelu_tanh_slope(x: f32) -> f32 {
    return 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
}
