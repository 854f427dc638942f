// erf(x) = 2/√π ∫₀ˣ e^(−t²) dt, absolute error below 1e-7.
fn error_function(x: f32) -> f32 {
    let a = abs(x);
    // Least-squares fits at Chebyshev nodes: of erf(x)/x in x² up to 1, of erfc(x)·e^(x²) in 1/(1 + x/2) above.
    let z = min(a, 1.0) * min(a, 1.0);
    var near = 7.882497448e-5;
    near = near * z - 8.018855006e-4;
    near = near * z + 5.189312156e-3;
    near = near * z - 2.685432881e-2;
    near = near * z + 1.128359735e-1;
    near = near * z - 3.761262596e-1;
    near = near * z + 1.1283791065;
    let t = 1.0 / (1.0 + 0.5 * a);
    var far = 8.627855823e-2;
    far = far * t - 2.023876905e-1;
    far = far * t + 4.880211130e-2;
    far = far * t + 8.733452111e-2;
    far = far * t + 1.663079262e-1;
    far = far * t + 2.506186366e-1;
    far = far * t + 2.813937962e-1;
    far = far * t + 2.821612358e-1;
    far = far * t - 2.574551445e-6;
    let tail = select(far * exp(-a * a), 0.0, a > 9.0);
    return select(sign(x) * (1.0 - tail), x * near, a < 1.0);
}
