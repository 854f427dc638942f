// dropout(x) = scale·x where a random word is below the threshold, else 0
//#import random
fn dropout_words(low: u32, high: u32, step: u32, stream: u32, i: u32) -> vec4<u32> {
    // The last counter word sets these words apart from those of initial values.
    return philox(vec4(i, stream, step, 1u), vec2(low, high));
}

fn dropout(x: f32, scale: f32, threshold: u32, words: vec4<u32>, j: u32) -> f32 {
    return select(0.0, scale * x, words[j] < threshold);
}
