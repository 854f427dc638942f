// mish(x) = x·t with t = tanh(ln(1 + eˣ)) = n/(n + 2) for n = eˣ·(eˣ + 2)
//#import nan
fn mish_factor(x: f32) -> f32 {
    // 1 from 20 on, where n is nearly as large as a number can be.
    let e = exp(min(x, 20.0));
    let n = e * (e + 2.0);
    return keep_nan(x, n / (n + 2.0));
}
