// arange(i) = start + i·step; linspace counts from the nearer end
fn arange(start: f32, step: f32, e: u32) -> f32 {
    return start + f32(e) * step;
}

fn arange_u32(start: u32, step: u32, e: u32) -> u32 {
    return start + e * step;
}

fn linspace(start: f32, end: f32, step: f32, count: u32, e: u32) -> f32 {
    return select(end - f32(count - 1u - e) * step, start + f32(e) * step, e < count / 2u || count == 1u);
}
