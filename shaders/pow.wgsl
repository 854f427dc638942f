// pow(a, b) = aᵇ with the special cases of C and PyTorch: a⁰ = 1ᵇ = 1, (−a)ⁿ = ±aⁿ, and NaN for other powers of −a
//#import nan
fn pow_of(a: f32, b: f32) -> f32 {
    let base = abs(a);
    let n = abs(b);
    let whole = n == floor(n);
    let odd = whole && n < 16777216.0 && (u32(min(n, 16777216.0)) & 1u) == 1u;

    // Small whole powers are products, exact where the numbers are; others go through the logarithm.
    var product = 1.0;
    var square = base;
    var bits = u32(min(n, 32.0));
    for (var i = 0u; i < 6u; i++) {
        product *= select(1.0, square, (bits & 1u) == 1u);
        square *= square;
        bits >>= 1u;
    }
    var power = select(exp2(n * log2(base)), product, whole && n <= 32.0);
    // What n·log2(base) makes NaN of, or drivers may get wrong: powers of 0, 1 and ∞.
    power = select(power, base, base == 0.0 && n > 0.0);
    power = select(power, 1.0, base == 1.0 || n == 0.0);
    power = select(power, 1.0 / power, b < 0.0);

    let negative = bitcast<u32>(a) >> 31u == 1u;
    power = select(power, -power, negative && odd);
    // A NaN made of the argument's own bits: constants may not be NaN.
    let nan = bitcast<f32>(bitcast<u32>(a) | 0x7fc00000u);
    power = select(power, nan, a < 0.0 && !whole && base <= 3.4028234e38);
    power = keep_nan(b, keep_nan(a, power));
    return select(power, 1.0, a == 1.0 || b == 0.0);
}
