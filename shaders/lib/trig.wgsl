// sine and cosine to 10⁻⁷ for |x| ≤ 10⁵; what drivers call `sin` is promised to 2⁻¹¹ and only between −π and π.
// x = k·π/2 + r with π/2 in parts of 8 bits, whose products with k are exact (Cody and Waite), then Cephes' polynomials.
fn trig_quarter(x: f32) -> f32 {
    return round(x * 0.6366197723675814);
}

fn trig_rest(x: f32, k: f32) -> f32 {
    return (((x - k * 1.5703125) - k * 4.8255920410156250000e-4) - k * 1.2665987014770507812e-6) - k * 9.920935796805e-10;
}

// sin(r + quadrant·π/2) for |r| ≤ π/4
fn trig_sine(r: f32, quadrant: i32) -> f32 {
    let z = r * r;
    let sine = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let cosine = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    let y = select(sine, cosine, (quadrant & 1) == 1);
    return select(y, -y, (quadrant & 2) == 2);
}
