// σ(x) = 1/(1 + e⁻ˣ), of e^−|x| so that nothing overflows.
//#import nan
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return keep_nan(x, select(1.0, e, x < 0.0) / (1.0 + e));
}
