// Philox 4×32-10 (Salmon et al. 2011): four words that depend on nothing but a counter and a key.
// What a key grows by in each round.
const PHILOX_WEYL = vec2(0x9E3779B9u, 0xBB67AE85u);

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    // Written out: a loop costs software drivers as much as the rounds.
    var words = philox_round(counter, key);
    words = philox_round(words, key + 1u * PHILOX_WEYL);
    words = philox_round(words, key + 2u * PHILOX_WEYL);
    words = philox_round(words, key + 3u * PHILOX_WEYL);
    words = philox_round(words, key + 4u * PHILOX_WEYL);
    words = philox_round(words, key + 5u * PHILOX_WEYL);
    words = philox_round(words, key + 6u * PHILOX_WEYL);
    words = philox_round(words, key + 7u * PHILOX_WEYL);
    words = philox_round(words, key + 8u * PHILOX_WEYL);
    return philox_round(words, key + 9u * PHILOX_WEYL);
}

fn philox_round(words: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let a = philox_product(0xD2511F53u, words.x);
    let b = philox_product(0xCD9E8D57u, words.z);
    return vec4(b.y ^ words.y ^ key.x, b.x, a.y ^ words.w ^ key.y, a.x);
}

// The low and the high word of a·b, from products of half words, none of which overflows.
fn philox_product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return vec2(a * b, (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}

// The words of elements 4i to 4i + 3 of a stream in a step. The last counter word sets them apart from those of initial
// values.
fn draw_words(low: u32, high: u32, step: u32, stream: u32, i: u32) -> vec4<u32> {
    return philox(vec4(i, stream, step, 1u), vec2(low, high));
}

// Uniform in [0, 1), a multiple of 2⁻²⁴: exact, so the same on every driver.
fn random_uniform(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

// The j-th of four normal numbers with mean 0 and deviation 1, of four words: √(−2 ln u)·cos 2πv and √(−2 ln u)·sin 2πv of
// each half of them (Box and Muller 1958).
fn random_normal(words: vec4<u32>, j: u32) -> f32 {
    let two = select(words.xy, words.zw, j > 1u);
    let u = f32((two.x >> 8u) + 1u) * 5.9604644775390625e-8;
    // cos 2πv = sin z with z = 2π(|v − ½| − ¼) in ±π/2, by Taylor's series: drivers' cosines are coarse. The sine is the
    // cosine a quarter before.
    let v = fract(random_uniform(two.y) + select(0.0, 0.75, j % 2u == 1u));
    let z = 6.283185307 * (abs(v - 0.5) - 0.25);
    let s = z * z;
    var cosine = -2.505210839e-8;
    cosine = cosine * s + 2.755731922e-6;
    cosine = cosine * s - 1.984126984e-4;
    cosine = cosine * s + 8.333333333e-3;
    cosine = cosine * s - 1.666666667e-1;
    cosine = cosine * s * z + z;
    return sqrt(-2.0 * log(u)) * cosine;
}
