// expm1(x) = eˣ − 1, exact also where x is small
//#import expm1
//#import nan
fn expm1_of(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    return select(expm1(x), exp(x), x > 80.0);
}
