// sign(x) = 1 where x > 0, −1 where x < 0, else 0
fn sign_of(x: f32) -> f32 {
    return select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0);
}
