// scale_shift(x) = (x − center)·scale + shift
fn scale_shift(x: f32, center: f32, scale: f32, shift: f32) -> f32 {
    return (x - center) * scale + shift;
}
