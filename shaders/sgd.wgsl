// sgd: b ← g in the first step, then μ·b + (1 − d)·g; p ← p − rate·b, with Nesterov p ← p − rate·(g + μ·b)

fn sgd_momentum(b: f32, g: f32, t: u32, momentum: f32, weight: f32) -> f32 {
    return select(momentum * b + weight * g, g, t == 0u);
}

fn sgd_nesterov(b: f32, g: f32, momentum: f32) -> f32 {
    return g + momentum * b;
}

fn sgd_step(p: f32, d: f32, rate: f32) -> f32 {
    return p - rate * d;
}
