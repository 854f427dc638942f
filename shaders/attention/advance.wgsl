// advance(x) = x + count
fn advance(x: u32, count: u32) -> u32 {
    return x + count;
}
