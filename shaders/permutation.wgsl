// permutation(i) = one of the first two words drawn at counter (i, stream, step, 3): what indices are sorted by
//#import random
fn permutation_key(low: u32, high: u32, step: u32, stream: u32, second: u32, i: u32) -> u32 {
    // The last counter word sets these words apart from those of initial values and of dropout.
    let words = philox(vec4(i, stream, step, 3u), vec2(low, high));
    return select(words.x, words.y, second != 0u);
}
