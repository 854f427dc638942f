// abs(x) = |x|
fn abs_element(x: f32) -> f32 {
    return abs(x);
}
