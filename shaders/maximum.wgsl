// maximum(a, b) = max(a, b)
//#import nan
fn maximum(a: f32, b: f32) -> f32 {
    let nan = select(b, a, is_nan(a));
    return select(max(a, b), nan, is_nan(a) || is_nan(b));
}
