// gelu(x) = x·Φ(x) with Φ(x) = ½(1 + erf(x/√2))
fn gelu(x: f32) -> f32 {
    return x * gelu_cdf(x, gelu_density(x));
}

// e^(−x²/2), exactly 0 where Φ(−|x|) is nothing: drivers' exp may not be.
fn gelu_density(x: f32) -> f32 {
    let h = 0.5 * x * x;
    return select(exp(-h), 0.0, h > 86.0);
}

// Φ(−a) = e^(−a²/2)·R(t) for a = |x| and t = 1/(1 + 0.35·a), R fitted to ½·erfc(a/√2)·e^(a²/2) by least squares at
// Chebyshev nodes: the error is at most 2e-7, and up to a = 6 at most 5e-6 of the result.
fn gelu_cdf(x: f32, density: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.35 * abs(x));
    // In pairs, as Estrin (1960) does: eight steps one after the other take a processor twice the time.
    let t2 = t * t;
    let t4 = t2 * t2;
    let low = (1.461482372e-1 * t - 4.356064854e-4) + (2.839025036e-1 * t + 9.680392689e-2) * t2;
    let high = (6.124672102e-1 * t - 2.921965304e-1) + (1.918363892e-1 * t - 5.100879254e-1) * t2 - 2.843820479e-2 * t4;
    let tail = density * (low + high * t4);
    return select(1.0 - tail, tail, x < 0.0);
}

// Φ(x) + x·φ(x) with φ(x) = e^(−x²/2)/√(2π)
fn gelu_grad(x: f32) -> f32 {
    let density = gelu_density(x);
    return gelu_cdf(x, density) + x * 0.3989422804014327 * density;
}
