// assign: old ← new
fn assign(old: f32, new_value: f32) -> f32 {
    return new_value;
}

fn assign_u32(old: u32, new_value: u32) -> u32 {
    return new_value;
}
