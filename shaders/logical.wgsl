// logical_not(a) = 1 where a is 0, else 0; logical_and(a, b) and logical_or(a, b) likewise
fn logical_not(a: u32) -> u32 {
    return select(0u, 1u, a == 0u);
}

fn logical_and(a: u32, b: u32) -> u32 {
    return select(0u, 1u, a != 0u && b != 0u);
}

fn logical_or(a: u32, b: u32) -> u32 {
    return select(0u, 1u, (a | b) != 0u);
}
