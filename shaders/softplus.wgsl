// softplus(x) = log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|); in f32 it is x itself beyond 20
//#import nan
fn softplus(x: f32) -> f32 {
    // log(1 + e) = 2·artanh(s) with s = e/(2 + e) ≤ ⅓, by its series: exact also where e is tiny.
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let q = s * s;
    var series = 1.0 / 13.0;
    series = series * q + 1.0 / 11.0;
    series = series * q + 1.0 / 9.0;
    series = series * q + 1.0 / 7.0;
    series = series * q + 1.0 / 5.0;
    series = series * q + 1.0 / 3.0;
    series = series * q * s + s;
    return keep_nan(x, max(x, 0.0) + 2.0 * series);
}
