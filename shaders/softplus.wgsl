// softplus(x) = ln(1 + eˣ)
//#import nan
fn softplus(x: f32) -> f32 {
    // ln(1 + e) without losing small e (Kahan): the rounding of 1 + e cancels in the quotient.
    let e = exp(min(x, 20.0));
    let sum = 1.0 + e;
    let small = select(log(sum) * e / (sum - 1.0), e, sum == 1.0);
    return select(small, x, x > 20.0 || is_nan(x));
}
