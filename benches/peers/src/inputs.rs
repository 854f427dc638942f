//! The numbers that every engine computes with: a hash of the index and a seed, the same bits everywhere.

/// The finaliser of MurmurHash3 over the index, moved by the seed's multiple of 2³²/φ.
fn hash(seed: u32, index: u32) -> u32 {
    let mut h = seed.wrapping_mul(0x9E37_79B9).wrapping_add(index);
    for (shift, factor) in [(16, 0x85EB_CA6B), (13, 0xC2B2_AE35)] {
        h = (h ^ (h >> shift)).wrapping_mul(factor);
    }
    h ^ (h >> 16)
}

/// A uniform number in [−scale, scale), from the upper 24 bits.
fn number(seed: u32, index: u32, scale: f32) -> f32 {
    let unit = (hash(seed, index) >> 8) as f32 / (1 << 24) as f32;
    (unit * 2.0 - 1.0) * scale
}

/// Uniform numbers in [−scale, scale).
pub fn numbers(seed: u32, count: usize, scale: f32) -> Vec<f32> {
    (0..count as u32).map(|i| number(seed, i, scale)).collect()
}

/// The same as the bytes of an array, so that large ones are in memory once.
pub fn bytes_of_numbers(seed: u32, count: usize, scale: f32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * count);
    for i in 0..count as u32 {
        bytes.extend_from_slice(&number(seed, i, scale).to_le_bytes());
    }
    bytes
}

/// Tokens or labels below a limit.
pub fn tokens(seed: u32, count: usize, limit: u32) -> Vec<u32> {
    (0..count as u32).map(|i| hash(seed, i) % limit).collect()
}
