// random(4i + j) = center + half·(2u − 1) or mean + deviation·n, with u uniform and n normal of the words drawn at counter (i, stream, 0, 0)
//#import random
fn initial_words(low: u32, high: u32, stream: u32, i: u32) -> vec4<u32> {
    return philox(vec4(i, stream, 0u, 0u), vec2(low, high));
}

fn random_uniform_element(center: f32, half: f32, words: vec4<u32>, j: u32) -> f32 {
    return center + half * (2.0 * random_uniform(words[j]) - 1.0);
}

// start + span·u, where rounding shall not reach the end.
fn draw_uniform(start: f32, span: f32, top: f32, words: vec4<u32>, j: u32) -> f32 {
    return min(start + span * random_uniform(words[j]), top);
}

fn draw_normal(mean: f32, deviation: f32, words: vec4<u32>, j: u32) -> f32 {
    return mean + deviation * random_normal(words, j);
}

fn draw_bernoulli(p: f32, words: vec4<u32>, j: u32) -> f32 {
    return select(0.0, 1.0, random_uniform(words[j]) < p);
}

// start + ⌊count·word/2³²⌋
fn draw_integer(start: u32, count: u32, words: vec4<u32>, j: u32) -> u32 {
    return start + philox_product(words[j], count).y;
}
