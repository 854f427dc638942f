// erf(x) = 2/√π ∫₀ˣ e^(−t²) dt
//#import erf

// 2/√π·e^(−x²)
fn erf_grad(x: f32) -> f32 {
    return 1.1283791670955126 * exp(-x * x);
}
