// log(x) = ln x
fn log_of(x: f32) -> f32 {
    return log(x);
}
