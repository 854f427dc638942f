// Philox 4×32-10 (Salmon et al. 2011): four random words from a counter and a key, the same on every device.
fn philox(start: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var counter = start;
    var key = seed;
    for (var round = 0u; round < 10u; round++) {
        let a = philox_multiply(0xD2511F53u, counter.x);
        let b = philox_multiply(0xCD9E8D57u, counter.z);
        counter = vec4(b.y ^ counter.y ^ key.x, b.x, a.y ^ counter.w ^ key.y, a.x);
        key += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// The low and the high word of a product.
fn philox_multiply(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let upper = a0 * b1 + (middle & 0xffffu);
    return vec2(a * b, a1 * b1 + (middle >> 16u) + (upper >> 16u));
}

// The random words of the block of four elements that element i belongs to.
fn random_block(i: u32, stream: u32, step: u32, seed: vec2<u32>) -> vec4<u32> {
    return philox(vec4(i / 4u, stream, step, 0u), seed);
}

// Uniform in [0, 1), a multiple of 2⁻²⁴.
fn random_unit(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}
