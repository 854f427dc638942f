// exp(x) = eˣ
fn exp_element(x: f32) -> f32 {
    return exp(x);
}
