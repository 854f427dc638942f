// log1p(x) = ln(1 + x), exact also where x is small
fn log1p_of(x: f32) -> f32 {
    if abs(x) > 0.25 {
        return log(1.0 + x);
    }
    // 2·atanh(s) with s = x/(2 + x): |s| ≤ 1/7, so five terms are enough.
    let s = x / (2.0 + x);
    let z = s * s;
    return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z / 9.0))));
}
