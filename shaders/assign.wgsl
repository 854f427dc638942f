// assign(old, value) = value
fn assign(old: f32, value: f32) -> f32 {
    return value;
}

fn assign_u32(old: u32, value: u32) -> u32 {
    return value;
}
