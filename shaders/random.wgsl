// x[i] ~ U(low, high) or N(mean, std²), by Philox from seed, stream and i
//#import random
fn random_uniform_element(low: f32, high: f32, seed0: u32, seed1: u32, stream: u32, i: u32) -> f32 {
    let word = random_block(i, stream, 0u, vec2(seed0, seed1))[i % 4u];
    return low + (high - low) * random_unit(word);
}

// Box and Muller (1958): two uniform numbers give two normal ones.
fn random_normal_element(mean: f32, std: f32, seed0: u32, seed1: u32, stream: u32, i: u32) -> f32 {
    let words = random_block(i, stream, 0u, vec2(seed0, seed1));
    let pair = select(words.xy, words.zw, (i & 2u) != 0u);
    let radius = sqrt(-2.0 * log(1.0 - random_unit(pair.x)));
    let angle = 6.2831853071795865 * random_unit(pair.y);
    return mean + std * radius * select(cos(angle), sin(angle), (i & 1u) != 0u);
}

// A word of the seed itself.
fn random_seed_word(word: u32) -> u32 {
    return word;
}
