// expm1(x) = eˣ − 1, to a few units in the last place also where x is small.
// Only sums and products: what drivers make of `exp` and `pow` differs, and 1 − pow(0.999, t) loses four digits.
fn expm1(x: f32) -> f32 {
    var r = clamp(x, -88.0, 88.0);
    var halvings = 0u;
    while abs(r) > 0.25 {
        r *= 0.5;
        halvings++;
    }
    // Taylor's series, then e²ʳ − 1 = e (e + 2) for e = eʳ − 1.
    var e = r * (1.0 + r / 2.0 * (1.0 + r / 3.0 * (1.0 + r / 4.0 * (1.0 + r / 5.0 * (1.0 + r / 6.0 * (1.0 + r / 7.0))))));
    for (var i = 0u; i < halvings; i++) {
        e *= e + 2.0;
    }
    return e;
}
