// full(i) = value
fn full(value: f32) -> f32 {
    return value;
}

fn full_u32(value: u32) -> u32 {
    return value;
}
