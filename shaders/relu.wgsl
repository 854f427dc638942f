// relu(x) = max(0, x)
//#import nan
fn relu(x: f32) -> f32 {
    return select(0.0, x, x > 0.0 || is_nan(x));
}

// dx = dy where x > 0, else 0
fn relu_grad(x: f32, dy: f32) -> f32 {
    return select(0.0, dy, x > 0.0 || is_nan(x));
}
