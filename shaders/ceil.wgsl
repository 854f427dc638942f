// ceil(x) = the smallest whole number that is not below x
fn ceil_of(x: f32) -> f32 {
    return ceil(x);
}
