// adam: m ← m + (1 − β₁)·(g − m), v ← β₂·v + (1 − β₂)·g², p ← (1 − rate·λ)·p − rate·(m/c₁)/(√(v/c₂) + ε), with cᵢ = 1 − βᵢᵗ
//#import expm1

fn adam_m(m: f32, g: f32, weight: f32) -> f32 {
    return m + weight * (g - m);
}

fn adam_v(v: f32, g: f32, beta: f32, weight: f32) -> f32 {
    return beta * v + weight * (g * g);
}

// 1 − βᵗ for the step t that begins after `done` steps.
fn adam_correction(done: u32, ln_beta: f32) -> f32 {
    return -expm1(f32(done + 1u) * ln_beta);
}

fn adam_step(p: f32, m: f32, v: f32, rate: f32, c1: f32, c2: f32, eps: f32, decay: f32) -> f32 {
    return (1.0 - rate * decay) * p - rate / c1 * m / (sqrt(v / c2) + eps);
}
