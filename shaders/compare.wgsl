// eq(a, b) = 1 where a = b, else 0; likewise ne, lt, le, gt, ge. NaN equals nothing and has no order.
//#import nan
fn compare_eq(a: f32, b: f32) -> u32 {
    return select(0u, 1u, a == b && !is_nan(a) && !is_nan(b));
}

fn compare_ne(a: f32, b: f32) -> u32 {
    return 1u - compare_eq(a, b);
}

fn compare_lt(a: f32, b: f32) -> u32 {
    return select(0u, 1u, a < b && !is_nan(a) && !is_nan(b));
}

fn compare_le(a: f32, b: f32) -> u32 {
    return select(0u, 1u, a <= b && !is_nan(a) && !is_nan(b));
}

fn compare_eq_u32(a: u32, b: u32) -> u32 {
    return select(0u, 1u, a == b);
}

fn compare_ne_u32(a: u32, b: u32) -> u32 {
    return select(0u, 1u, a != b);
}

fn compare_lt_u32(a: u32, b: u32) -> u32 {
    return select(0u, 1u, a < b);
}

fn compare_le_u32(a: u32, b: u32) -> u32 {
    return select(0u, 1u, a <= b);
}

fn compare_gt(a: f32, b: f32) -> u32 {
    return compare_lt(b, a);
}

fn compare_ge(a: f32, b: f32) -> u32 {
    return compare_le(b, a);
}

fn compare_gt_u32(a: u32, b: u32) -> u32 {
    return compare_lt_u32(b, a);
}

fn compare_ge_u32(a: u32, b: u32) -> u32 {
    return compare_le_u32(b, a);
}
