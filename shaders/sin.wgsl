// sin(x), the sine of x in radians
//#import trig
fn sin_of(x: f32) -> f32 {
    let k = trig_quarter(x);
    return trig_sine(trig_rest(x, k), i32(k));
}
