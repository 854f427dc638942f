// rsqrt(x) = 1/√x
//#import nan
fn rsqrt(x: f32) -> f32 {
    return select(1.0 / sqrt(x), nan(), x < 0.0);
}
