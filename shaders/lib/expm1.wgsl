// expm1(x) = eˣ − 1 = 2ᵏ·(eʳ − 1) + (2ᵏ − 1) with x = k·ln 2 + r, to a few units in the last place also where x is small.
// Only sums and products: what drivers make of `exp` and `pow` differs, and 1 − pow(0.999, t) loses four digits.
fn expm1(x: f32) -> f32 {
    let within = clamp(x, -88.0, 89.0);
    let k = round(within * 1.442695041);
    // ln 2 in two parts, of which the first has few digits, so that its product with k is exact.
    let r = (within - k * 0.693359375) + k * 2.12194440e-4;
    // Taylor's series: |r| ≤ ½·ln 2.
    let high = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let e = r + r * r * (0.5 + r * (1.0 / 6.0 + r * high));
    // Half of 2ᵏ, which itself may be too large for a number.
    let half = bitcast<f32>(u32(max(i32(k) + 126, 0)) << 23u);
    return 2.0 * (half * e + (half - 0.5));
}
