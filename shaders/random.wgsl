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
