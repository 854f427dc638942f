// clamp(x) = min(max(x, low), high); NaN stays NaN
//#import nan
fn clamp_element(x: f32, low: f32, high: f32) -> f32 {
    return select(min(max(x, low), high), x, is_nan(x));
}

// dx = dy where low ≤ x ≤ high, else 0
fn clamp_grad(x: f32, dy: f32, low: f32, high: f32) -> f32 {
    return select(0.0, dy, (x >= low && x <= high) || is_nan(x));
}
