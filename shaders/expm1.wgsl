// expm1(x) = eˣ − 1, exact also where x is small
//#import expm1
//#import nan
fn expm1_of(x: f32) -> f32 {
    return keep_nan(x, expm1(x));
}
