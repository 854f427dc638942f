// tril(x) = x where column ≤ row + k, else 0; triu(x) = x where column ≥ row + k, else 0
fn tril_keeps(upper: u32, rows: u32, columns: u32, k: u32, e: u32) -> bool {
    // k is two's complement; columns and rows are below 2³¹.
    let ahead = i32(e % columns) - i32(e / columns % rows);
    return select(ahead <= bitcast<i32>(k), ahead >= bitcast<i32>(k), upper != 0u);
}

fn tril(x: f32, upper: u32, rows: u32, columns: u32, k: u32, e: u32) -> f32 {
    return select(0.0, x, tril_keeps(upper, rows, columns, k, e));
}

fn tril_u32(x: u32, upper: u32, rows: u32, columns: u32, k: u32, e: u32) -> u32 {
    return select(0u, x, tril_keeps(upper, rows, columns, k, e));
}
