// sign(x) = −1, 0 or 1
//#import nan
fn sign_element(x: f32) -> f32 {
    return select(sign(x), x, is_nan(x));
}
