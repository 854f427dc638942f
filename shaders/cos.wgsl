// cos(x) = sin(x + π/2)
//#import trig
fn cos_of(x: f32) -> f32 {
    let k = trig_quarter(x);
    return trig_sine(trig_rest(x, k), i32(k) + 1);
}
