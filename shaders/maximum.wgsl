// maximum(a, b) = a where a > b, else b; NaN where either is
//#import nan
fn maximum(a: f32, b: f32) -> f32 {
    return keep_nan(b, keep_nan(a, select(b, a, a > b)));
}

// The part of dy that goes to a: all, or half where both are equal.
fn maximum_grad(dy: f32, a: f32, b: f32) -> f32 {
    return select(select(dy, 0.5 * dy, a == b), 0.0, a < b);
}
