// minimum(a, b) = min(a, b)
//#import nan
fn minimum(a: f32, b: f32) -> f32 {
    let nan = select(b, a, is_nan(a));
    return select(min(a, b), nan, is_nan(a) || is_nan(b));
}
