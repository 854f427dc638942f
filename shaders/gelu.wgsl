// gelu(x) = x·Φ(x) with Φ(x) = ½(1 + erf(x/√2))
//#import erf
fn gelu(x: f32) -> f32 {
    return x * gelu_cdf(x);
}

fn gelu_cdf(x: f32) -> f32 {
    return 0.5 + 0.5 * erf(x * 0.7071067811865476);
}

// Φ(x) + x·φ(x) with φ(x) = e^(−x²/2)/√(2π)
fn gelu_grad(x: f32) -> f32 {
    return gelu_cdf(x) + x * 0.3989422804014327 * exp(-0.5 * x * x);
}
