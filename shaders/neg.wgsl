// neg(x) = −x
fn neg(x: f32) -> f32 {
    return -x;
}
