// sub(a, b) = a − b
fn sub(a: f32, b: f32) -> f32 {
    return a - b;
}
