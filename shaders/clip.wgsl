// clip(g) = g · min(1, max / (‖g‖ + 10⁻⁶)) with the norm of all gradients together
//#import nan
fn clip_factor(sum_of_squares: f32, most: f32) -> f32 {
    let factor = most / (sqrt(sum_of_squares) + 1e-6);
    // A norm that is no number makes the factor none: `min` may hide it.
    return keep_nan(factor, min(factor, 1.0));
}
