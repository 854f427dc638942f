// silu(x) = x·σ(x) with σ(x) = 1/(1 + e⁻ˣ)
//#import sigmoid
fn silu(x: f32) -> f32 {
    return x * sigmoid(x);
}

// σ(x)·(1 + x·(1 − σ(x)))
fn silu_grad(x: f32) -> f32 {
    let s = sigmoid(x);
    return s * (1.0 + x * (1.0 - s));
}
