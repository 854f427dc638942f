// dropout(x) = 0 with probability p, else x/(1 − p); which, Philox says from seed, stream, step and index
//#import random
fn dropout(x: f32, seed0: u32, seed1: u32, step: u32, threshold: u32, scale: f32, stream: u32, i: u32) -> f32 {
    let word = random_block(i, stream, step, vec2(seed0, seed1))[i % 4u];
    return select(0.0, x * scale, word >= threshold);
}
