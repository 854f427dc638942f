// snake(x) = x + sin²(a·x)/a
fn snake(x: f32, a: f32) -> f32 {
    let s = sin(a * x);
    return x + s * s / a;
}

// d snake/dx = 1 + sin(2·a·x)
fn snake_grad(x: f32, a: f32) -> f32 {
    return 1.0 + sin(2.0 * a * x);
}
