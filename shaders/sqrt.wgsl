// sqrt(x) = √x
//#import nan
fn sqrt_element(x: f32) -> f32 {
    return select(sqrt(x), nan(), x < 0.0);
}
