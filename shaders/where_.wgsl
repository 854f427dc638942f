// where_(mask, a, b) = a where mask is not 0, else b
fn where_(mask: u32, a: f32, b: f32) -> f32 {
    return select(b, a, mask != 0u);
}

fn where_u32(mask: u32, a: u32, b: u32) -> u32 {
    return select(b, a, mask != 0u);
}
