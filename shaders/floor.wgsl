// floor(x) = the largest whole number that is not above x
fn floor_of(x: f32) -> f32 {
    return floor(x);
}
