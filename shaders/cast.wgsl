// cast(x) = x in another element type; towards u32 the fraction is dropped
fn cast_float(x: f32) -> f32 {
    return x;
}

fn cast_to_u32(x: f32) -> u32 {
    return u32(x);
}

fn cast_from_u32(x: u32) -> f32 {
    return f32(x);
}

fn cast_u32(x: u32) -> u32 {
    return x;
}
