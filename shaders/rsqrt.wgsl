// rsqrt(x) = 1/√x
fn rsqrt_of(x: f32) -> f32 {
    return inverseSqrt(x);
}
