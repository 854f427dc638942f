// erf(x) = 2/√π ∫₀ˣ e^(−t²) dt to about one unit in the last place: two minimax polynomials (after N. Juffa).
//#import nan
fn erf(x: f32) -> f32 {
    let s = x * x;
    // |x| ≤ 475/512: x + x·P(x²).
    var near = -5.96761703e-4;
    near = near * s + 4.99119423e-3;
    near = near * s - 2.67681349e-2;
    near = near * s + 1.12819925e-1;
    near = near * s - 3.76125336e-1;
    near = near * s + 1.28379166e-1;
    near = near * x + x;
    // Beyond: ±(1 − e^Q(|x|)), which is ±1 from 4 on.
    let t = min(abs(x), 4.0);
    let tt = t * t;
    var far = -1.72853470e-5 * t + 3.83197126e-4;
    far = far * tt + (-3.88396438e-3 * t + 2.42546219e-2);
    far = far * t - 1.06777877e-1;
    far = far * t - 6.34846687e-1;
    far = far * t - 1.28717512e-1;
    far = far * t - t;
    far = 1.0 - exp(far);
    return keep_nan(x, select(select(far, -far, x < 0.0), near, abs(x) <= 0.927734375));
}
