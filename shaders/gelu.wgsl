// gelu(x) = x·Φ(x) with Φ(x) = ½(1 + erf(x/√2))
//#import nan

// gelu(x) = max(0, x) − a·Φ(−a) with a = |x|: exact in both tails.
fn gelu(x: f32) -> f32 {
    let a = gelu_distance(x);
    return keep_nan(x, max(x, 0.0) - a * gelu_tail(a, exp(-0.5 * a * a)));
}

// |x|, or where Φ(−|x|) is 0 some number.
fn gelu_distance(x: f32) -> f32 {
    return min(abs(x), 13.0);
}

// Φ(−a) = e^(−a²/2)·R(t) with t = 1/(1 + 0.35·a), R fitted to ½·erfc(a/√2)·e^(a²/2) by least squares at Chebyshev
// nodes: the error is 2e-7, and 5e-6 of the result up to a = 6.
fn gelu_tail(a: f32, density: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.35 * a);
    var r = -2.843820479e-2;
    r = r * t + 1.918363892e-1;
    r = r * t - 5.100879254e-1;
    r = r * t + 6.124672102e-1;
    r = r * t - 2.921965304e-1;
    r = r * t + 2.839025036e-1;
    r = r * t + 9.680392689e-2;
    r = r * t + 1.461482372e-1;
    r = r * t - 4.356064854e-4;
    return density * r;
}

// Φ(x) + x·φ(x) with φ(x) = e^(−x²/2)/√(2π)
fn gelu_grad(x: f32) -> f32 {
    let a = gelu_distance(x);
    let density = exp(-0.5 * a * a);
    let tail = gelu_tail(a, density);
    // Both terms are odd but for the one.
    let slope = a * 0.3989422804014327 * density - tail;
    return keep_nan(x, select(1.0 + slope, -slope, x < 0.0));
}
