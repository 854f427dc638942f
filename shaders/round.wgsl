// round(x) = the nearest whole number, the even one of two
fn round_of(x: f32) -> f32 {
    return round(x);
}
