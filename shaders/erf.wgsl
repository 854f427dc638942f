// erf(x) = 2/√π ∫₀ˣ e^(−t²) dt
//#import erf
fn erf(x: f32) -> f32 {
    return error_function(x);
}
