// expand(x) = x, repeated along new dimensions and those of size 1
fn expand(x: f32) -> f32 {
    return x;
}

fn expand_u32(x: u32) -> u32 {
    return x;
}
