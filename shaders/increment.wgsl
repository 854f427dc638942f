// increment(x) = x + 1
fn increment(x: u32) -> u32 {
    return x + 1u;
}
