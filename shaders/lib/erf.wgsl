// erf(x) = 2/√π ∫₀ˣ e^(−t²) dt
//#import nan
fn erf(x: f32) -> f32 {
    let a = abs(x);
    // Up to 1: x·P(x²), P fitted to erf(x)/x by least squares at Chebyshev nodes, error 1e-9.
    let z = min(a, 1.0) * min(a, 1.0);
    var near = 7.882497448e-5;
    near = near * z - 8.018855006e-4;
    near = near * z + 5.189312156e-3;
    near = near * z - 2.685432881e-2;
    near = near * z + 1.128359735e-1;
    near = near * z - 3.761262596e-1;
    near = near * z + 1.1283791065;
    // Beyond: ±(1 − e^(−x²)·Q(t)) with t = 1/(1 + x/2), Q fitted to erfc(x)·e^(x²) likewise, error 4e-8.
    let t = 1.0 / (1.0 + 0.5 * min(a, 10.0));
    var far = 8.627855823e-2;
    far = far * t - 2.023876905e-1;
    far = far * t + 4.880211130e-2;
    far = far * t + 8.733452111e-2;
    far = far * t + 1.663079262e-1;
    far = far * t + 2.506186366e-1;
    far = far * t + 2.813937962e-1;
    far = far * t + 2.821612358e-1;
    far = far * t - 2.574551445e-6;
    let outer = 1.0 - far * exp(-min(a * a, 80.0));
    return keep_nan(x, select(select(outer, -outer, x < 0.0), x * near, a <= 1.0));
}
