// pow(x, p) = xᵖ, also for negative x with whole p
//#import nan
fn pow_element(x: f32, p: f32) -> f32 {
    if p == 0.0 || x == 1.0 {
        return 1.0;
    }
    if is_nan(x) || is_nan(p) {
        return nan();
    }
    let a = abs(x);
    let whole = floor(p) == p;
    // Above 2²⁴ every f32 is even.
    let odd = whole && abs(p) < 16777216.0 && abs(p) - 2.0 * floor(abs(p) * 0.5) == 1.0;
    var magnitude: f32;
    if a == 0.0 {
        magnitude = select(0.0, infinity(), p < 0.0);
    } else if is_infinite(x) {
        magnitude = select(infinity(), 0.0, p < 0.0);
    } else if is_infinite(p) {
        magnitude = select(select(0.0, infinity(), (a > 1.0) == (p > 0.0)), 1.0, a == 1.0);
    } else if p == 2.0 {
        magnitude = a * a;
    } else if p == 3.0 {
        magnitude = a * a * a;
    } else if p == -1.0 {
        magnitude = 1.0 / a;
    } else {
        magnitude = pow(a, p);
    }
    let negative = (bitcast<u32>(x) & 0x80000000u) != 0u;
    if negative && odd {
        return -magnitude;
    }
    return select(magnitude, nan(), x < 0.0 && !whole && !is_infinite(x));
}

// d pow/dx = p·xᵖ⁻¹, 0 for p = 0
fn pow_grad_base(x: f32, p: f32) -> f32 {
    return select(p * pow_element(x, p - 1.0), 0.0, p == 0.0);
}

// d pow/dp = xᵖ·ln x, 0 for x = 0 with p ≥ 0
fn pow_grad_exponent(x: f32, p: f32) -> f32 {
    if x == 0.0 && p >= 0.0 {
        return 0.0;
    }
    return select(pow_element(x, p) * log(x), nan(), x < 0.0);
}
