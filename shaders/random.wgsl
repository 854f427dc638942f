// random(i) = center + half·(2u − 1) or mean + deviation·n, with u uniform and n normal drawn at counter (i, stream, 0, 0)
//#import random
fn random_uniform_element(center: f32, half: f32, low: u32, high: u32, stream: u32, i: u32) -> f32 {
    let words = philox(vec4(i, stream, 0u, 0u), vec2(low, high));
    return center + half * (2.0 * random_uniform(words.x) - 1.0);
}

fn random_normal_element(mean: f32, deviation: f32, low: u32, high: u32, stream: u32, i: u32) -> f32 {
    let words = philox(vec4(i, stream, 0u, 0u), vec2(low, high));
    return mean + deviation * random_normal(words.xy);
}

// The words of element i of a stream in a step. The last counter word sets them apart from those of initial values.
fn draw_words(low: u32, high: u32, step: u32, stream: u32, i: u32) -> vec4<u32> {
    return philox(vec4(i, stream, step, 1u), vec2(low, high));
}

// start + span·u, where rounding shall not reach the end.
fn draw_uniform(low: u32, high: u32, step: u32, start: f32, span: f32, top: f32, stream: u32, i: u32) -> f32 {
    return min(start + span * random_uniform(draw_words(low, high, step, stream, i).x), top);
}

fn draw_normal(low: u32, high: u32, step: u32, mean: f32, deviation: f32, stream: u32, i: u32) -> f32 {
    return mean + deviation * random_normal(draw_words(low, high, step, stream, i).xy);
}

fn draw_bernoulli(low: u32, high: u32, step: u32, p: f32, stream: u32, i: u32) -> f32 {
    return select(0.0, 1.0, random_uniform(draw_words(low, high, step, stream, i).x) < p);
}

// start + ⌊count·word/2³²⌋
fn draw_integer(low: u32, high: u32, step: u32, start: u32, count: u32, stream: u32, i: u32) -> u32 {
    return start + philox_product(draw_words(low, high, step, stream, i).x, count).y;
}
