// compare(a, b) = 1 where the relation holds, else 0; false with NaN, but for ≠
//#import nan
fn equal(a: f32, b: f32) -> u32 {
    return u32(a == b && !is_nan(a) && !is_nan(b));
}

fn not_equal(a: f32, b: f32) -> u32 {
    return 1u - equal(a, b);
}

fn less(a: f32, b: f32) -> u32 {
    return u32(a < b && !is_nan(a) && !is_nan(b));
}

fn less_or_equal(a: f32, b: f32) -> u32 {
    return u32(a <= b && !is_nan(a) && !is_nan(b));
}

fn equal_u32(a: u32, b: u32) -> u32 {
    return u32(a == b);
}

fn not_equal_u32(a: u32, b: u32) -> u32 {
    return u32(a != b);
}

fn less_u32(a: u32, b: u32) -> u32 {
    return u32(a < b);
}

fn less_or_equal_u32(a: u32, b: u32) -> u32 {
    return u32(a <= b);
}
