// dropout(x) = scale·x where a random word is below the threshold, else 0
//#import random
fn dropout(x: f32, scale: f32, threshold: u32, words: vec4<u32>, j: u32) -> f32 {
    return select(0.0, scale * x, words[j] < threshold);
}
