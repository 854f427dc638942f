// clamp(x) = min(max(x, low), high), NaN where x is
//#import nan
fn clamp_of(x: f32, low: f32, high: f32) -> f32 {
    return keep_nan(x, min(max(x, low), high));
}

// dy where low ≤ x ≤ high.
fn clamp_grad(dy: f32, x: f32, low: f32, high: f32) -> f32 {
    return select(0.0, dy, x >= low && x <= high && !is_nan(x));
}
