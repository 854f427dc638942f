// exp(x) = eˣ
fn exp_of(x: f32) -> f32 {
    return exp(x);
}
