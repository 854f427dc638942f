// relu(x) = max(0, x), NaN where x is
//#import nan
fn relu(x: f32) -> f32 {
    return keep_nan(x, max(x, 0.0));
}

// dy where y is not 0.
fn relu_grad(dy: f32, y: f32) -> f32 {
    return select(dy, 0.0, y <= 0.0);
}
