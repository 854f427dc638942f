// gelu(x) = x·Φ(x) = x/2·(1 + erf(x/√2))
//#import erf
fn gelu(x: f32) -> f32 {
    return gelu_product(x, 0.5 + 0.5 * error_function(x * 0.7071067811865476));
}

// Φ(x) + x·φ(x) with φ(x) = e^(−x²/2)/√(2π)
fn gelu_grad(x: f32) -> f32 {
    let density = 0.3989422804014327 * exp(-0.5 * x * x);
    return 0.5 + 0.5 * error_function(x * 0.7071067811865476) + gelu_product(x, density);
}

// (2 − x²)·φ(x)
fn gelu_grad_grad(x: f32) -> f32 {
    return gelu_product(2.0 - x * x, 0.3989422804014327 * exp(-0.5 * x * x));
}

// A factor that has gone to 0 wins over an infinite one.
fn gelu_product(x: f32, factor: f32) -> f32 {
    return select(x * factor, 0.0, factor == 0.0);
}
