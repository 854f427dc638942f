// log(x) = ln x
//#import nan
fn log_element(x: f32) -> f32 {
    if x == 0.0 {
        return -infinity();
    }
    return select(log(x), nan(), x < 0.0);
}
