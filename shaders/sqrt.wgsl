// sqrt(x) = √x
fn sqrt_of(x: f32) -> f32 {
    return sqrt(x);
}
